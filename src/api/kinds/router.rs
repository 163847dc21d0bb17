//! `routerd.net`: the Router, a frame around many resources.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::value::Map;

/// The group's apiVersion.
pub const API_VERSION: &str = "routerd.net/v1alpha1";

/// What a Router says beside its resources, which are accepted one by one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouterSpec {
    /// The other fields, carried as written.
    pub fields: Map,
}

impl JsonSchema for RouterSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RouterSpec".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A list of resources, and other fields that are carried as written.",
            "properties": {
                "resources": {
                    "type": "array",
                    "description": "Resources of any Kind; each is accepted or refused by itself.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "apiVersion": { "type": "string" },
                            "kind": { "type": "string" },
                            "metadata": { "type": "object" }
                        },
                        "required": ["apiVersion", "kind", "metadata"]
                    }
                }
            }
        })
    }
}
