//! JSON Schemas of whole resources, for editors and for `routerctl schema`.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::metadata::Metadata;
use super::registry::KindInfo;

/// The schema of a resource: its frame, and the definitions that the spec refers to.
pub(super) fn of_resource(
    info: &KindInfo,
    spec_schema: fn(&mut SchemaGenerator) -> Schema,
    needs_spec: bool,
) -> Value {
    let required = ["apiVersion", "kind", "metadata", "spec"];
    let required = if needs_spec { &required[..] } else { &required[..3] };
    let settings = SchemaSettings::draft2020_12();
    let dialect = settings.meta_schema.clone();
    let mut generator = settings.into_generator();
    let metadata = generator.subschema_for::<Metadata>();
    let spec = spec_schema(&mut generator);
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": dialect,
        "title": info.kind,
        "type": "object",
        "properties": {
            "apiVersion": { "const": info.api_version },
            "kind": { "const": info.kind },
            "metadata": metadata,
            "spec": spec,
            "status": { "description": "Set by the daemon; ignored when read from a manifest." },
        },
        "required": required,
        "additionalProperties": false,
        "$defs": definitions,
    })
}
