//! For authors of plugins in Rust: the protocol around a function from an event to resources.
//!
//! A plugin made with it works as a program for one run and as a process that serves many: the host
//! says which by `ROUTERD_PROTOCOL` in the environment. `stream` means one request a line and one
//! answer a line until stdin ends; anything else, or nothing, means that all of stdin is one
//! request. `examples/plugins/event-to-remote-claim/main.rs` is a whole plugin.
//!
//! What it adds: answers are marked with the event that they answer, hold from `spec.now` on, and
//! are written whole or not at all. A request that cannot be read, or an error of the plugin's own,
//! is said on stderr and ends the process with status 1: a failed attempt in either protocol.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

pub use serde_json::{Value, json};

pub use crate::api::event::Event;
use crate::api::plugin::{API_VERSION, EVENT_MARK};
pub use crate::api::plugin::{PROTOCOL, PluginRequest, RequestEvent};

/// How the host speaks with this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// All of stdin is one request.
    Oneshot,
    /// A request a line, an answer a line.
    Stream,
}

impl Protocol {
    /// By the value of [`PROTOCOL`].
    pub fn from_variable(value: Option<&OsStr>) -> Self {
        if value == Some(OsStr::new("stream")) { Self::Stream } else { Self::Oneshot }
    }
}

/// What a plugin answers: a PluginResult in the making.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    ttl: String,
    resources: Vec<Value>,
    directives: Vec<Value>,
    action_plans: Vec<Value>,
}

/// Why a plugin stops.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// Stdin could not be read.
    #[error("cannot read stdin")]
    Read(#[source] io::Error),
    /// What was read is no PluginRequest.
    #[error("stdin holds no PluginRequest")]
    Request(#[source] serde_json::Error),
    /// The plugin's own error.
    #[error("cannot answer")]
    Plugin(#[source] Box<dyn Error>),
    /// Stdout could not be written.
    #[error("cannot write stdout")]
    Write(#[source] io::Error),
}

impl Answer {
    /// An answer without content, which holds for `ttl` (Go notation, 10s to 720h).
    pub fn new(ttl: impl Into<String>) -> Self {
        let (resources, directives, action_plans) = (Vec::new(), Vec::new(), Vec::new());
        Self { ttl: ttl.into(), resources, directives, action_plans }
    }

    /// Proposes a resource for an event.
    pub fn resource(&mut self, event: &Event, mut resource: Value) {
        // What is no resource is the host's to refuse, with its place and reason.
        if let Some(resource) = resource.as_object_mut()
            && let Some(metadata) = resource.entry("metadata").or_insert(json!({})).as_object_mut()
            && let Some(marks) = metadata.entry("annotations").or_insert(json!({})).as_object_mut()
        {
            marks.insert(EVENT_MARK.to_owned(), event.id.clone().into());
        }
        self.resources.push(resource);
    }

    /// Proposes a directive for an event.
    pub fn directive(&mut self, event: &Event, directive: Value) {
        self.directives.push(marked(event, directive));
    }

    /// Proposes an action plan for an event.
    pub fn action_plan(&mut self, event: &Event, plan: Value) {
        self.action_plans.push(marked(event, plan));
    }

    fn result(self, request: &PluginRequest) -> Value {
        let mut status = json!({
            "observedAt": request.spec.now, "ttl": self.ttl, "resources": self.resources,
        });
        for (name, items) in [("directives", self.directives), ("actionPlans", self.action_plans)] {
            if !items.is_empty() {
                status[name] = items.into();
            }
        }
        json!({ "apiVersion": API_VERSION, "kind": "PluginResult", "status": status })
    }
}

fn marked(event: &Event, mut item: Value) -> Value {
    if let Some(item) = item.as_object_mut() {
        item.insert("eventID".to_owned(), event.id.clone().into());
    }
    item
}

/// A whole `main`: proposes resources for each event by itself, which hold for `ttl`.
pub fn per_event<I>(ttl: &str, mut propose: impl FnMut(&Event) -> I) -> ExitCode
where
    I: IntoIterator<Item = Value>,
{
    per_request(|request| {
        let mut answer = Answer::new(ttl);
        for RequestEvent { event, .. } in &request.spec.events {
            propose(event).into_iter().for_each(|resource| answer.resource(event, resource));
        }
        Ok(answer)
    })
}

/// A whole `main`: answers a request, whatever it holds. An error is a failed attempt of the run.
pub fn per_request(
    respond: impl FnMut(&PluginRequest) -> Result<Answer, Box<dyn Error>>,
) -> ExitCode {
    let protocol = Protocol::from_variable(std::env::var_os(PROTOCOL).as_deref());
    match serve(protocol, &mut io::stdin().lock(), &mut io::stdout().lock(), respond) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            // Nobody is left to tell if stderr is gone as well.
            _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

/// The protocol on any streams: reads requests until the input ends, and answers each.
pub fn serve(
    protocol: Protocol,
    input: &mut impl BufRead,
    output: &mut impl Write,
    mut respond: impl FnMut(&PluginRequest) -> Result<Answer, Box<dyn Error>>,
) -> Result<(), KitError> {
    let mut request = Vec::new();
    loop {
        request.clear();
        let read = match protocol {
            Protocol::Oneshot => input.read_to_end(&mut request),
            Protocol::Stream => input.read_until(b'\n', &mut request),
        };
        let ended = read.map_err(KitError::Read)? == 0;
        if protocol == Protocol::Stream && ended {
            return Ok(());
        }
        if protocol == Protocol::Stream && request.trim_ascii().is_empty() {
            continue;
        }
        let request: PluginRequest = serde_json::from_slice(&request).map_err(KitError::Request)?;
        let answer = respond(&request).map_err(KitError::Plugin)?;
        let mut line = answer.result(&request).to_string();
        line.push('\n');
        // In one piece: half an answer is none.
        output.write_all(line.as_bytes()).and_then(|()| output.flush()).map_err(KitError::Write)?;
        if protocol == Protocol::Oneshot {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ids: &[&str]) -> String {
        let events: Vec<Value> =
            ids.iter().map(|id| json!({"id": id, "group": "g", "type": "t"})).collect();
        json!({
            "apiVersion": API_VERSION, "kind": "PluginRequest", "metadata": {"name": "p"},
            "spec": {
                "trigger": {"type": "federation-subscription", "topic": "t"},
                "now": "2026-01-02T03:04:05Z", "startupConfigHash": "",
                "previousDynamicGeneration": 0, "events": events,
            },
        })
        .to_string()
    }

    fn each(request: &PluginRequest) -> Result<Answer, Box<dyn Error>> {
        let mut answer = Answer::new("10s");
        for RequestEvent { event, .. } in &request.spec.events {
            if event.id == "bad" {
                return Err("a bad event".into());
            }
            answer.resource(event, json!({"kind": "K", "metadata": {"name": event.id}}));
        }
        Ok(answer)
    }

    fn serve_text(protocol: Protocol, input: &str) -> (Result<(), KitError>, Vec<Value>) {
        let mut output = Vec::new();
        let served = serve(protocol, &mut input.as_bytes(), &mut output, each);
        let text = String::from_utf8(output).unwrap();
        (served, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn both_protocols_give_the_same_answer() {
        let asked = request(&["a", "b"]);
        let pretty =
            serde_json::to_string_pretty(&serde_json::from_str::<Value>(&asked).unwrap()).unwrap();
        let (served, once) = serve_text(Protocol::Oneshot, &pretty);
        served.unwrap();
        let (served, lines) = serve_text(Protocol::Stream, &format!("{asked}\n\n{asked}\n"));
        served.unwrap();
        assert_eq!(once.len(), 1);
        assert_eq!(lines, [once[0].clone(), once[0].clone()]);
        let resources = &once[0]["status"]["resources"];
        assert_eq!(resources[1]["metadata"]["annotations"][EVENT_MARK], "b");
        assert_eq!(once[0]["status"]["observedAt"], "2026-01-02T03:04:05Z");
    }

    #[test]
    fn an_error_ends_the_process_after_the_answers_before_it() {
        let input = format!("{}\n{}\n{}\n", request(&["a"]), request(&["bad"]), request(&["c"]));
        let (served, lines) = serve_text(Protocol::Stream, &input);
        assert!(matches!(served, Err(KitError::Plugin(_))), "{served:?}");
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn what_is_no_request_is_refused_in_both_protocols() {
        for (protocol, input) in [
            (Protocol::Oneshot, ""),
            (Protocol::Oneshot, "{}"),
            (Protocol::Stream, "{}\n"),
            (Protocol::Stream, "not json\n"),
        ] {
            let (served, lines) = serve_text(protocol, input);
            assert!(matches!(served, Err(KitError::Request(_))), "{input:?}: {served:?}");
            assert!(lines.is_empty());
        }
        serve_text(Protocol::Stream, "").0.expect("nothing was asked");
    }

    #[test]
    fn everything_in_an_answer_names_its_event() {
        let event: Event =
            serde_json::from_value(json!({"id": "e", "group": "g", "type": "t"})).unwrap();
        let request: PluginRequest = serde_json::from_str(&request(&["e"])).unwrap();
        let mut answer = Answer::new("1m");
        answer.resource(&event, json!({"kind": "K"}));
        answer.resource(&event, json!("no resource"));
        answer.directive(&event, json!({"op": "mask"}));
        answer.action_plan(&event, json!({"assign": "x"}));
        let status = answer.result(&request)["status"].take();
        assert_eq!(status["resources"][0]["metadata"]["annotations"][EVENT_MARK], "e");
        assert_eq!(status["resources"][1], "no resource");
        assert_eq!(status["directives"][0]["eventID"], "e");
        assert_eq!(status["actionPlans"][0]["eventID"], "e");
    }

    #[test]
    fn only_the_word_stream_means_stream() {
        for (value, protocol) in [
            (None, Protocol::Oneshot),
            (Some("oneshot"), Protocol::Oneshot),
            (Some("stream"), Protocol::Stream),
        ] {
            assert_eq!(Protocol::from_variable(value.map(OsStr::new)), protocol);
        }
    }
}
