//! The command line: what can be typed, and the help that goes with it.

mod examples;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use self::examples::{
    BACKUP_HELP, EMIT_EXAMPLES, EXAMPLES, RERUN_EXAMPLES, RESTORE_HELP, RETRY_EXAMPLES, TRIAL_HELP,
};
use crate::api::duration::GoDuration;

/// Observe and drive a routerd node
#[derive(Debug, Parser)]
#[command(name = "routerctl", version, after_help = EXAMPLES, max_term_width = 100)]
pub(super) struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that stand before or after the subcommand.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Shared options")]
pub(super) struct Global {
    /// A manifest file or directory; repeat for more [env: ROUTERD_CONFIG, separated by ':']
    /// [default: /usr/local/etc/routerd/router.yaml, if present, and
    /// /usr/local/etc/routerd/manifests]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// The state directory [env: ROUTERD_STATE] [default: /var/lib/routerd/routerd.db]
    #[arg(long, visible_alias = "state-file", global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The daemon's control socket [env: ROUTERD_SOCKET] [default: STATE/control.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// How to print the answer; which formats there are depends on the command
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns, for people
    Table,
    /// YAML
    Yaml,
    /// JSON, camelCase and stable
    Json,
    /// One KIND/NAME a line
    Name,
}

impl Format {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Name => "name",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the node: store, config, groups, subscriptions, plugins, parts
    Status,
    /// Print the effective config as one Router document
    Render(RenderArgs),
    /// List objects: any kind, `events`, `parts`, `runs`, `failures` or `all`
    Get(GetArgs),
    /// Show one object with its conditions
    Describe {
        /// The kind, in any case, singular or plural
        kind: String,
        /// Its name
        name: String,
    },
    /// Emit one event, or JSON lines with -f; the same as `federation event emit`
    Emit(Box<EmitArgs>),
    /// Check manifests without a daemon; prints file:line:col: path: message
    Validate(ValidateArgs),
    /// Print the JSON Schema of a kind, or the list of kinds
    Schema {
        /// The kind
        kind: Option<String>,
    },
    /// Wait until all that was written so far is processed
    Wait(WaitArgs),
    /// Run again now what failed: what was given up, and what waits for its next attempt
    Retry(RetryRunsArgs),
    /// Run again what succeeded, under a new run key, and what failed
    Rerun(RerunArgs),
    /// Events between nodes
    #[command(visible_alias = "fed", subcommand)]
    Federation(FederationCommand),
    /// Parts: what the plugins proposed
    #[command(subcommand)]
    Dynamic(DynamicCommand),
    /// Plugins: list them, try one, run a recorded run again
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Copy the store into one new file, with or without a daemon
    #[command(after_help = BACKUP_HELP)]
    Backup {
        /// The file to make, mode 0600
        #[arg(long, value_name = "PATH")]
        to: PathBuf,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Make a store of a backup, in a state directory that is empty or absent
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// The file that `backup` made
        #[arg(long, value_name = "PATH")]
        from: PathBuf,
    },
    /// Print the versions of routerctl and of the daemon
    Version,
}

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// List the plugins and how their last runs went
    List,
    /// Show one plugin: its spec, its conditions, its last runs
    Describe {
        /// The Plugin's name
        name: String,
    },
    /// Run a plugin once with events of your own; exit 1 if the answer is not good
    Run(PluginRunArgs),
    /// Run a recorded run again and compare the results; exit 1 if they differ
    Replay(PluginReplayArgs),
    /// Print the sha256 of executables, as the line that pins them in the manifest
    Lock {
        /// Names of Plugins, or paths of executables [default: all Plugins]
        #[arg(value_name = "NAME|PATH")]
        names: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FederationCommand {
    /// Emit and list events
    #[command(subcommand)]
    Event(EventCommand),
    /// List the peers: where events are pushed to, and how that fares
    Peers,
    /// List what is owed to the peers, what they took and what was given up
    Deliveries(DeliveriesArgs),
    /// Try the peers now, paused ones too, and send what they refused once more
    Retry(RetryArgs),
    /// Make a new shared secret in a file of its own, mode 0600
    Keygen {
        /// The file, as auth.secretFile names it
        file: PathBuf,
        /// Replace a secret that is there; the peers need the new one, too
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// Emit one event, or JSON lines with -f
    Emit(Box<EmitArgs>),
    /// List events, the newest first
    List(EventArgs),
    /// The same as `federation deliveries`
    Deliveries(DeliveriesArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum DynamicCommand {
    /// Print the effective config as one Router document
    Render(RenderArgs),
    /// List the parts
    List,
    /// Show one part: its cause, its resources, its conditions
    Describe {
        /// The part's name
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
#[command(after_help = TRIAL_HELP)]
pub(super) struct PluginRunArgs {
    /// The Plugin's name: of the manifests that --config names, else as the daemon has it in force
    pub name: String,
    /// A file with an event as for `emit -f`, or a list of them, JSON or YAML; '-' is stdin
    #[arg(long, value_name = "FILE")]
    pub event: PathBuf,
    /// The EventSubscription that the request names
    #[arg(long, value_name = "NAME", default_value = "trial")]
    pub subscription: String,
    /// Run this file in place of the Plugin's, unpinned
    #[arg(long, value_name = "PATH")]
    pub executable: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = TRIAL_HELP)]
pub(super) struct PluginReplayArgs {
    /// The run's number, as `get runs` lists it
    #[arg(value_parser = run_number)]
    pub run: u64,
    /// Run this file in place of the Plugin's, unpinned
    #[arg(long, value_name = "PATH")]
    pub executable: Option<PathBuf>,
}

/// `42`, or `Run/42` as `-o name` prints it.
fn run_number(text: &str) -> Result<u64, String> {
    text.strip_prefix("Run/").unwrap_or(text).parse().map_err(|_| "write it like 42".to_owned())
}

#[derive(Debug, Default, ClapArgs)]
#[command(after_help = EMIT_EXAMPLES)]
pub(super) struct EmitArgs {
    /// The EventGroup
    #[arg(long, required_unless_present = "file", value_name = "NAME")]
    pub group: Option<String>,
    /// The type, such as routerd.client.ipv4.observed
    #[arg(long = "type", required_unless_present = "file", value_name = "TYPE")]
    pub r#type: Option<String>,
    /// What the event is about, such as 10.88.60.9/32
    #[arg(long)]
    pub subject: Option<String>,
    /// Who observed it [default: the group's nodeName]
    #[arg(long, value_name = "NAME")]
    pub source_node: Option<String>,
    /// Unique in the group [default: a new UUIDv7]
    #[arg(long)]
    pub id: Option<String>,
    /// Names the fact where the subject does not
    #[arg(long, value_name = "KEY")]
    pub dedupe_key: Option<String>,
    /// An entry of the payload; repeat for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    pub payload: Vec<(String, String)>,
    /// How long it holds, from --observed-at on: 30m, 1h30m
    #[arg(long, value_name = "DURATION", conflicts_with = "expires_at")]
    pub ttl: Option<GoDuration>,
    /// When it was observed, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub observed_at: Option<String>,
    /// When it stops being true, RFC 3339 [default: the group's retention.maxAge later]
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// Read events from a file, or from stdin with '-', one JSON object a line
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["group", "type", "subject",
        "source_node", "id", "dedupe_key", "payload", "ttl", "observed_at", "expires_at"])]
    pub file: Option<PathBuf>,
}

fn entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

#[derive(Debug, Default, Clone, PartialEq, Eq, ClapArgs)]
pub(super) struct EventArgs {
    /// Events of this group only
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Events of this type only
    #[arg(long = "type", value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Events about this subject only
    #[arg(long)]
    pub subject: Option<String>,
    /// Events that are true no more, too
    #[arg(long)]
    pub include_expired: bool,
    /// How many at most, the newest first [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DeliveriesArgs {
    #[command(subcommand)]
    pub command: Option<DeliveriesCommand>,
    /// Deliveries in this group only
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Deliveries to this EventPeer only, by its name or its nodeName
    #[arg(long, value_name = "NAME")]
    pub peer: Option<String>,
    /// Deliveries of this event only
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
    /// Deliveries that stand so only
    #[arg(long)]
    pub status: Option<Delivery>,
    /// How many at most [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeliveriesCommand {
    /// Each peer in figures: events, delivered, pending, dead, lag, nearest expiry
    Summary,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Delivery {
    /// Owed
    Pending,
    /// On the peer's disk
    Delivered,
    /// Refused for good
    Dead,
    /// Expired before the peer took it
    Expired,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RetryArgs {
    /// Peers of this group only
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// This EventPeer only, by its name or its nodeName
    #[arg(long, value_name = "NAME")]
    pub peer: Option<String>,
    /// What was refused of this event only
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct GetArgs {
    /// A kind in any case, singular or plural; or events, parts, runs, failures, deadletters, all
    pub kind: String,
    /// The name of one
    pub name: Option<String>,
    /// For `get events`
    #[command(flatten, next_help_heading = "Options of `get events`")]
    pub events: EventArgs,
}

/// Which work: all of it that fits every given word.
#[derive(Debug, Default, ClapArgs)]
pub(super) struct WorkArgs {
    /// Names as `get failures`, `status` and `dynamic list` show them
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Facts of this EventSubscription only
    #[arg(long, value_name = "NAME")]
    pub subscription: Option<String>,
    /// Facts of the EventSubscriptions that name this Plugin only
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// The fact whose newest event has this id
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
}

#[derive(Debug, Default, ClapArgs)]
#[command(after_help = RETRY_EXAMPLES)]
pub(super) struct RetryRunsArgs {
    #[command(flatten)]
    pub work: WorkArgs,
}

#[derive(Debug, Default, ClapArgs)]
#[command(after_help = RERUN_EXAMPLES)]
pub(super) struct RerunArgs {
    #[command(flatten)]
    pub work: WorkArgs,
    /// Everything that this node runs
    #[arg(long, conflicts_with_all = ["names", "subscription", "plugin", "event"])]
    pub all: bool,
}

#[derive(Debug, Default, ClapArgs)]
pub(super) struct RenderArgs {
    /// Show what was left out, and why
    #[arg(long)]
    pub report: bool,
    /// Print it again whenever its bytes change, until interrupted; YAML documents are separated by
    /// `---`
    #[arg(short, long, conflicts_with = "report")]
    pub watch: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ValidateArgs {
    /// A manifest file or directory; repeat for more [default: the paths of --config]
    #[arg(short, long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct WaitArgs {
    /// Until nothing is ready, running, debouncing or backing off
    #[arg(long, required = true)]
    pub converged: bool,
    /// And until the peers have everything, too
    #[arg(long)]
    pub deliveries: bool,
    /// How long, 1h at most; 0s looks once
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub timeout: GoDuration,
}
