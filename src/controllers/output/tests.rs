//! The file, and the disk under the store.

use std::pin::pin;

use serde_json::json;

use super::*;
use crate::controllers::fixture::{Bench, Reply};
use crate::runtime::{Backoff, Controller};

#[tokio::test]
async fn a_file_never_holds_what_a_power_cut_could_take_back() {
    let mut bench = Bench::with_writer(json!({}), |_| Reply::Exit(1)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    let spec = json!({"path": path, "format": "json"});
    bench.accept("config", "ConfigOutput", "out", spec).await;
    bench.follow().await;
    let nobody = || Controller::new("nobody", Backoff::default()).triggers();
    let outputs = Outputs::new(
        Arc::clone(&bench.shared),
        Arc::default(),
        Reserved::default(),
        nobody(),
        nobody(),
    );
    let key = ObjectKey::new("config.routerd.net/v1alpha1", "ConfigOutput", "out");
    outputs.reconcile(&key).await.expect("written");
    let text = || std::fs::read_to_string(&path).expect("a file");
    assert!(!text().contains("branch"));

    let busy = bench.engine.stall_syncs();
    {
        let spec = json!({"role": "onprem", "nodeID": "branch"});
        let mut accepted = pin!(bench.accept("hybrid", "OverlayPeer", "branch", spec));
        assert!(futures::poll!(&mut accepted).is_pending());
        bench.store.watch_applied(bench.store.head()).next().await;
    }
    bench.follow().await;
    let mut written = pin!(outputs.reconcile(&key));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut written).await;
    early.expect_err("it waits for the disk");
    assert!(!text().contains("branch"));
    drop(busy);
    written.await.expect("written");
    assert!(text().contains("branch"));
}
