//! Checks of `config.routerd.net`.

use super::super::classify::{Class, classify};
use super::super::config::{Allow, ConfigOutputSpec, DynamicOverridePolicySpec, Target};
use super::super::metadata::check_name;
use super::super::place::Place;
use super::super::spec::KindSpec;
use super::plugin::run_time;
use super::words::{file_path, no_nul};
use crate::api::object::is_valid_name;

impl KindSpec for DynamicOverridePolicySpec {
    fn check(&self, at: &Place<'_>) {
        let list = at.field("allow");
        for (index, allow) in self.allow.iter().enumerate() {
            check_allow(allow, &list.item(index));
        }
    }
}

fn check_allow(allow: &Allow, at: &Place<'_>) {
    if !allow.subscription().is_some_and(is_valid_name) {
        let message = format!("{:?} is not a source", allow.source);
        let hint = format!("write it like {}cloud-claims", Allow::SOURCE);
        at.field("source").refuse_with(message, hint);
    }
    if allow.operations.is_empty() {
        at.field("operations").refuse_with("names no operation", "the only one is mask");
    }
    let targets = at.field("targets");
    if allow.targets.is_empty() {
        targets.refuse_with("names no target", "each is an apiVersion, a kind and a name");
    }
    for (index, target) in allow.targets.iter().enumerate() {
        check_target(target, &targets.item(index));
    }
}

fn check_target(target: &Target, at: &Place<'_>) {
    match classify(&target.api_version, &target.kind) {
        Ok(Class::Typed(info)) if info.control => {
            at.field("kind").refuse(format!("{} is never masked", info.kind));
        }
        Ok(_) => {}
        Err(misnamed) => at.refuse_misnamed(misnamed),
    }
    check_name(&target.name, &at.field("name"));
}

impl KindSpec for ConfigOutputSpec {
    fn check(&self, at: &Place<'_>) {
        file_path(&at.field("path"), &self.path);
        let list = at.field("select");
        for (index, select) in self.select.iter().enumerate() {
            if let Err(misnamed) = classify(&select.api_version, &select.kind) {
                list.item(index).refuse_misnamed(misnamed);
            }
        }
        if let Some(hook) = &self.on_change {
            let at = at.field("onChange");
            file_path(&at.field("executable"), &hook.executable);
            let args = at.field("args");
            for (index, arg) in hook.args.iter().enumerate() {
                no_nul(&args.item(index), arg);
            }
            run_time(&at.field("timeout"), hook.timeout);
        }
    }
}
