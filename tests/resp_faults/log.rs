//! What becomes of a log whose disk fails or is full, as clients and `INFO` tell it.

use std::time::Duration;

use mainstay::sim::{Call, FaultKind, Operation, SimDisk};
use mainstay::{Options, SyncPolicy};

use crate::local::{info, is_segment, once, rest, serve, until};
use crate::resp::{self, Raw};

/// Guards F4: a sync that failed is not tried again on its file. The client notices nothing, but `INFO` tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_moves_the_log() {
    let sim = SimDisk::new(4);
    let patient = |options: &mut Options| {
        options.shards = Some(1);
        (options.sync_deadline, options.view_deadline) = (resp::PATIENCE, resp::PATIENCE);
    };
    let local = serve(&sim, patient).await;
    let disk = sim.clone();
    let test = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(local.address);
        raw.line("SET a 1", "+OK");
        assert_eq!(info(&mut raw, "moves"), "0");
        let mut fails = once(|call| is_segment(call, 1, Operation::Sync));
        disk.fail_when(move |call| fails(call).then_some(FaultKind::ErrorOnce));
        raw.line("SET b 2", "+OK");
        raw.line("SET c 3", "+OK");
        for (name, value) in [("moves", "1"), ("restarts", "0"), ("lost_commands", "0"), ("fenced_shards", "0")] {
            assert_eq!(info(&mut raw, name), value, "{name}");
        }
        assert!(info(&mut raw, "shard0").starts_with("status=ok,answered=1/4,durable=1/4,"));
    });
    test.await.unwrap();
    for seed in 0..8 {
        let local = serve(&sim.crash(seed), patient).await;
        let test = tokio::task::spawn_blocking(move || {
            Raw::connect(local.address).line("MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3");
        });
        test.await.unwrap();
    }
}

/// Guards F1, F5: what was answered before it was synced and then could not be is gone for readers, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_and_lost_is_counted() {
    let sim = SimDisk::new(5);
    let local = serve(&sim, |options| {
        options.shards = Some(1);
        options.sync = SyncPolicy::Interval(Duration::from_millis(1));
        options.restarts.pause = Duration::from_millis(1);
        (options.sync_deadline, options.view_deadline) = (resp::PATIENCE, resp::PATIENCE);
    })
    .await;
    let disk = sim.clone();
    let test = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(local.address);
        raw.line("SET a 1", "+OK");
        rest(&mut raw, &disk);
        let mut sync = once(|call| is_segment(call, 1, Operation::Sync));
        let mut header = once(|call| is_segment(call, 2, Operation::Write));
        let mut another = once(|call| is_segment(call, 3, Operation::Create));
        let mut fails = move |call: &Call| sync(call) || header(call) || another(call);
        disk.fail_when(move |call| fails(call).then_some(FaultKind::ErrorOnce));
        raw.line("SET b 2", "+OK");
        until("a restart", || info(&mut raw, "restarts") == "1");
        until("a loss", || info(&mut raw, "lost_commands") == "1");
        raw.line("MGET a b", "*2\r\n$1\r\n1\r\n$-1");
        raw.line("SET c 3", "+OK");
        assert_eq!((info(&mut raw, "moves"), info(&mut raw, "fenced_shards")), ("0".to_owned(), "0".to_owned()));
    });
    test.await.unwrap();
}

/// Guards F59: without space writes are refused, and certainly not executed; reads go on, and so do writes when there
/// is space again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let sim = SimDisk::new(6);
    let tiny = |options: &mut Options| {
        options.shards = Some(1);
        options.segment_bytes = 4096;
        options.command_bytes_max = Options::command_bytes_for(4096);
        (options.sync_deadline, options.view_deadline) = (resp::PATIENCE, resp::PATIENCE);
    };
    let local = serve(&sim, tiny).await;
    let disk = sim.clone();
    let test = tokio::task::spawn_blocking(move || {
        const FULL: &str = "-ERR there is no space for the log";
        let mut raw = Raw::connect(local.address);
        raw.line("SET count 0", "+OK");
        disk.fail_in(1, FaultKind::NoSpace);
        let mut count = 0;
        let said = loop {
            raw.send("INCR count\r\n");
            match raw.read_line().unwrap() {
                said if said == format!(":{}", count + 1) => count += 1,
                said => break said,
            }
        };
        assert_eq!(said, FULL);
        assert!(count > 0);
        raw.line("DEL count", FULL);
        raw.line("MSET count x count y", FULL);
        raw.line("FLUSHALL", FULL);
        raw.line("STRLEN count", &format!(":{}", count.to_string().len()));
        raw.line("GET count", &format!("${}\r\n{count}", count.to_string().len()));
        assert_eq!(info(&mut raw, "fenced_shards"), "0");
        disk.free_space();
        until("space", || {
            raw.send("INCR count\r\n");
            let said = raw.read_line().unwrap();
            assert!(said == FULL || said == format!(":{}", count + 1), "{said}");
            said != FULL
        });
        count + 1
    });
    let count = test.await.unwrap().to_string();
    let local = serve(&sim.crash(6), tiny).await;
    let test = tokio::task::spawn_blocking(move || {
        Raw::connect(local.address).line("GET count", &format!("${}\r\n{count}", count.len()));
    });
    test.await.unwrap();
}
