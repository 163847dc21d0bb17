//! What stands below the options in `--help`: examples, and what an option cannot say.

pub(super) const EXAMPLES: &str = "\
Examples:
  routerctl status
  routerctl emit --group cloudedge --type routerd.client.ipv4.observed \\
      --subject 10.88.60.9/32 --payload domain=cloudedge-same-subnet --ttl 30m
  routerctl get events --group cloudedge -o json
  routerctl render > effective.yaml
  routerctl render --report
  routerctl validate -f ./manifests
  routerctl wait --converged --timeout 10s

Exit codes: 0 ok, 1 the answer is no, 2 usage, 3 no daemon and no usable store, 4 invalid input.

Without a daemon, reads, emit, validate and backup work on the store itself.";

pub(super) const BACKUP_HELP: &str = "\
The file holds every row as of one revision, which is printed: accepted manifests, events, facts,
parts, runs, deliveries. It holds inline secrets as they are, so a running daemon gives it to root
and to its own user only. Files that manifests name (secrets, certificates, plugins) are not in it.";

pub(super) const RESTORE_HELP: &str = "\
No daemon may run. The file is read to its end before anything is touched. The store gets a new id,
so that peers send again what it has lost since the backup.";

pub(super) const TRIAL_HELP: &str = "\
The plugin is run by this command, as you and not as the daemon: the file must belong to root or to
you. Checks, limits and the judgement of the answer are the daemon's. Nothing is stored.";

pub(super) const EMIT_EXAMPLES: &str = "\
Examples:
  routerctl emit --group cloudedge --type routerd.client.ipv4.observed \\
      --subject 10.88.60.9/32 --payload address=10.88.60.9/32 --ttl 30m
  tail -F observed.jsonl | routerctl emit -f -

With -f, each line is one event: {\"group\": …, \"type\": …, \"subject\": …, \"payload\": {…}, \"ttl\": …}.
Each gets one answer line with its number, in order: {\"line\", \"id\", \"accepted\", \"duplicate\",
\"refreshed\", \"revision\"}, or \"error\": {\"reason\", \"message\", \"hint\"}. Exit 1 if any was refused.

An event that is answered with accepted is on disk. After a timeout, sending the same id again is
safe.";

pub(super) const RETRY_EXAMPLES: &str = "\
Examples:
  routerctl get failures
  routerctl retry cloud-claims-00ff00ff00ff00ff
  routerctl retry --plugin event-to-remote-claim
  routerctl retry

Without a word it means everything that fails. Exit 1 if nothing fits.";

pub(super) const RERUN_EXAMPLES: &str = "\
Examples:
  routerctl rerun cloud-claims-00ff00ff00ff00ff
  routerctl rerun --subscription cloud-claims
  routerctl rerun --all

Asked again before the run has ended, it changes nothing. Exit 1 if nothing fits.";
