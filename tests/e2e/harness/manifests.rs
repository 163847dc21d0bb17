//! Small manifests, written as an operator would.

use std::fmt::Write;

/// The group `edge` of the node `here`.
pub fn group() -> String {
    "apiVersion: federation.routerd.net/v1alpha1\nkind: EventGroup\n\
     metadata: {name: edge}\nspec: {nodeName: here}\n"
        .to_owned()
}

/// A plugin; `more` is further lines of its spec.
pub fn plugin(name: &str, executable: &std::path::Path, more: &str) -> String {
    let mut text = format!(
        "apiVersion: plugin.routerd.net/v1alpha1\nkind: Plugin\nmetadata: {{name: {name}}}\n\
         spec:\n  executable: {}\n  capabilities: [observe.events, propose.dynamicConfig]\n",
        executable.display()
    );
    for line in more.lines() {
        writeln!(text, "  {line}").expect("a string takes all");
    }
    text
}

/// A subscription to `types` of the group `edge`; `more` is further members of its trigger.
pub fn subscription(name: &str, plugin: &str, types: &str, more: &str) -> String {
    format!(
        "apiVersion: federation.routerd.net/v1alpha1\nkind: EventSubscription\n\
         metadata: {{name: {name}}}\nspec:\n  groupRef: edge\n  match:\n    types: {types}\n  \
         trigger: {{pluginRef: {plugin}{more}}}\n"
    )
}

/// A typed resource that needs nothing else.
pub fn wg_interface(name: &str, mtu: u32) -> String {
    format!(
        "apiVersion: net.routerd.net/v1alpha1\nkind: WireGuardInterface\n\
         metadata: {{name: {name}}}\nspec:\n  mtu: {mtu}\n"
    )
}

/// A resource of a Kind that routerd does not know.
pub fn opaque(name: &str) -> String {
    format!(
        "apiVersion: net.routerd.net/v1alpha1\nkind: Interface\nmetadata:\n  name: {name}\nspec:\n  \
         ifname: {name}\n"
    )
}
