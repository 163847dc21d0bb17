//! What of a status needs an operator: a sentence each, in plain words.

use super::{StatusView, counted};

/// What an operator should look at, most urgent first.
pub(super) fn notices(status: &StatusView) -> Vec<String> {
    let mut notices: Vec<String> =
        status.store.notes.iter().map(|note| format!("store: {note}")).collect();
    notices.extend(status.conditions.iter().map(|c| format!("{}: {}", c.r#type, c.message)));
    if let Some(config) = &status.config {
        for held in &config.held {
            let path = held.path.as_deref().unwrap_or("all paths");
            notices.push(format!(
                "config held: {path}: {} ({})",
                held.message,
                counted(held.objects.len() as u64, "object")
            ));
        }
        for root in config.roots.iter().filter(|root| !root.present && !root.held) {
            notices
                .push(format!("config: {} is not there; what is put there is taken up", root.path));
        }
        let problems = config.problems.iter().filter(|problem| !problem.is_note()).count();
        if problems > 0 {
            notices.push(format!("config: {} in the files", counted(problems as u64, "problem")));
        }
        notices.extend(config.store_error.iter().map(|error| format!("config: {error}")));
    }
    for plugin in status.plugins.iter().filter(|plugin| plugin.ready == Some(false)) {
        notices.push(format!("plugin {} is not ready: {}", plugin.name, plugin.message));
    }
    for output in status.outputs.iter().filter(|output| output.reason == "Failing") {
        notices.push(format!("output {} is not applied: {}", output.name, output.message));
    }
    for group in &status.groups {
        let Some(listener) = &group.listener else { continue };
        // What it says besides is worth a look as well: a secret that cannot be read, for one.
        if listener.reason != "Listening" {
            notices.push(format!("group {}: {}", group.name, listener.message));
        }
    }
    for group in status.groups.iter().filter(|group| group.live_facts >= group.max_live_facts) {
        notices.push(format!(
            "group {} is full: {} live facts; new ones are refused",
            group.name, group.live_facts
        ));
    }
    for peer in &status.peers {
        if peer.delivering == Some(false) {
            let pending = counted(peer.pending, "event");
            let (name, message) = (&peer.name, &peer.message);
            notices.push(format!("peer {name} is not delivered to, {pending} pending: {message}"));
        }
        if peer.dead > 0 {
            notices.push(format!(
                "peer {} refused {}; routerctl federation deliveries --status dead lists why",
                peer.name,
                counted(peer.dead, "event")
            ));
        }
    }
    for subscription in &status.subscriptions {
        let (name, plugin) = (&subscription.name, &subscription.plugin);
        if !status.plugins.iter().any(|own| own.name == *plugin) {
            notices.push(format!(
                "subscription {name}: spec.trigger.pluginRef names the Plugin {plugin}, which is \
                 not there; nothing is run"
            ));
        }
        if !status.groups.iter().any(|own| own.name == subscription.group) {
            notices.push(format!(
                "subscription {name}: spec.groupRef names the EventGroup {}, which is not there; \
                 nothing is matched",
                subscription.group
            ));
        }
    }
    for subscription in &status.subscriptions {
        let Some(failure) = &subscription.last_failure else { continue };
        let (failing, given_up) = (subscription.failing, subscription.dead_lettered);
        notices.push(format!(
            "subscription {}: {} failing, {given_up} given up; {failure}",
            subscription.name,
            counted(failing, "fact"),
        ));
    }
    if status.effective.left_out > 0 {
        notices.push(format!(
            "{} not in force; routerctl render --report says why",
            counted(status.effective.left_out, "proposal")
        ));
    }
    notices
}
