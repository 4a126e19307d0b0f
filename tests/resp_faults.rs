//! The example server over a disk that stalls and fails: what reaches a client is true, and nothing else does.
//!
//! The server's modules run inside this test; everything else about them is tested from outside in `resp_client`.

#![cfg(not(loom))]
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "resp_faults/local.rs"]
mod local;
#[path = "resp_faults/log.rs"]
mod log;
#[path = "support/resp.rs"]
mod resp;
#[path = "resp_faults/saving.rs"]
mod saving;
#[path = "../examples/resp_server/server/mod.rs"]
mod server;

use std::time::Duration;

use mainstay::sim::{FaultKind, Operation, SimDisk};

use local::{is_log, rest, serve};
use resp::Raw;

const FENCED: &str = "-FENCED the shard is fenced";

/// A key of each shard, found by what `INFO` counts.
fn keys_by_shard(raw: &mut Raw) -> [String; 2] {
    let mut keys = [const { None }; 2];
    for n in 0.. {
        let key = format!("k{n}");
        raw.line(&format!("SET {key} 1"), "+OK");
        let shard = usize::from(!first_shard_has(raw, 1));
        keys[shard].get_or_insert(key.clone());
        raw.line(&format!("DEL {key}"), ":1");
        if let [Some(zero), Some(one)] = &keys {
            return [zero.clone(), one.clone()];
        }
    }
    unreachable!("every key has a shard")
}

fn first_shard_has(raw: &mut Raw, count: u64) -> bool {
    raw.send("INFO mainstay\r\n");
    let info = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
    let line = info.lines().find(|line| line.starts_with("shard0:")).unwrap();
    line.ends_with(&format!("keys={count}"))
}

/// Guards F2, F3: an outcome that is not known is not told. The connection ends after the replies before it, also if
/// what comes behind was certainly executed or certainly not.
#[tokio::test(flavor = "multi_thread")]
async fn an_unconfirmed_command_is_never_answered() {
    let sim = SimDisk::new(1);
    let local = serve(&sim, |_| {}).await;
    let address = local.address;
    let test = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(address);
        let [zero, one] = keys_by_shard(&mut raw);
        let stall = sim.stall(|call| is_log(call, 1, Operation::Sync));
        raw.send(format!("SET {zero} a\r\nGET none\r\nSET {one} b\r\nSET {zero} c\r\nPING\r\nBOGUS\r\n"));
        raw.expect("+OK\r\n$-1\r\n");
        raw.expect_end();
        // The other shard goes on; of this one nothing can be read that may not be there after a crash.
        let mut raw = Raw::connect(address);
        raw.line(&format!("GET {zero}"), "$1\r\nc");
        raw.line(&format!("MSET {zero} d {zero} e"), "+OK");
        raw.line(&format!("GET {one}"), "$-1");
        raw.send(format!("MSET {zero} f {one} f\r\nPING\r\n"));
        raw.expect_end();
        stall.release();
        let mut raw = Raw::connect(address);
        raw.line(&format!("SET {one} g GET"), "$1\r\nf");
        raw.line(&format!("GET {zero}"), "$1\r\nf");
    });
    test.await.unwrap();
}

/// Guards F57: what a stalled shard does not take up is certainly not executed, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_is_busy() {
    let sim = SimDisk::new(2);
    let local = serve(&sim, |options| {
        options.shards = Some(1);
        options.lane_commands = 1;
        options.submit_deadline = Duration::from_millis(500);
        (options.sync_deadline, options.view_deadline) = (resp::PATIENCE, resp::PATIENCE);
    })
    .await;
    let address = local.address;
    let test = tokio::task::spawn_blocking(move || {
        let mut first = Raw::connect(address);
        first.line("SET a 1", "+OK");
        // From here on everybody can read it without the shard's help, and no sync comes but that of a command.
        first.line("GET a", "$1\r\n1");
        rest(&mut first, &sim);
        let stall = sim.stall(|call| is_log(call, 0, Operation::Sync));
        first.send("SET a 2\r\n");
        stall.wait_until_stalled();
        let mut second = Raw::connect(address);
        second.line("SET a 3", "-BUSY the shard did not take it up in time");
        second.line("GET a", "$1\r\n1");
        stall.release();
        first.expect("+OK\r\n");
        second.line("GET a", "$1\r\n2");
    });
    test.await.unwrap();
}

/// Guards F59: a shard that lost its disk says so; what it has is still read, and others do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_a_disk_is_fenced() {
    let sim = SimDisk::new(3);
    let local = serve(&sim, |options| options.restarts.restarts = 0).await;
    let address = local.address;
    let test = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(address);
        let [zero, one] = keys_by_shard(&mut raw);
        raw.line(&format!("MSET {zero} a {one} a"), "+OK");
        // From here on everybody can read it without the shard's help.
        raw.line(&format!("GET {one}"), "$1\r\na");
        sim.fail_when(|call| {
            let breaks = [Operation::Sync, Operation::Write].into_iter();
            breaks.into_iter().any(|operation| is_log(call, 1, operation)).then_some(FaultKind::ErrorForEver)
        });
        raw.send(format!("SET {one} b\r\n"));
        // The first to notice may be told that it is certainly not executed, or nothing.
        assert!(raw.read_line().is_none_or(|said| said == FENCED));
        let mut raw = Raw::connect(address);
        while {
            raw.send(format!("SET {one} c\r\n"));
            match raw.read_line() {
                Some(said) => said != FENCED,
                None => {
                    raw = Raw::connect(address);
                    true
                }
            }
        } {}
        raw.line(&format!("SET {zero} b"), "+OK");
        raw.line(&format!("MSET {zero} c {one} c"), FENCED);
        raw.line(&format!("MGET {zero} {one}"), "*2\r\n$1\r\nc\r\n$1\r\na");
        raw.send("INFO mainstay\r\n");
        let info = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
        assert!(info.contains("fenced_shards:1\r\n") && info.contains("shard1:status=fenced,"), "{info}");
    });
    test.await.unwrap();
}
