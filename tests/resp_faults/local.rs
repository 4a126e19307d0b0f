//! A server in this process, what it says of itself, and the calls of its disk by what they are for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mainstay::kv::Kv;
use mainstay::sim::{Call, Operation, SimDisk};
use mainstay::{Options, Runtime, SyncPolicy};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::resp::{self, Raw};
use crate::server::{self, RequestLimits, Settings};

/// A server in this process. Dropping it has it end by itself.
pub struct Local {
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

pub async fn serve(sim: &SimDisk, change: impl FnOnce(&mut Options)) -> Local {
    let mut options = Options {
        shards: Some(2),
        // Quickly filled, so that short deadlines do not pass for nothing.
        segment_bytes: 64 * 1024,
        command_bytes_max: Options::command_bytes_for(64 * 1024),
        sync_deadline: Duration::from_millis(100),
        view_deadline: Duration::from_millis(100),
        ..Options::new("/data")
    };
    // Both shards write at a time, for saves and a rewrite.
    options.snapshots.at_once = 8;
    change(&mut options);
    let runtime = Runtime::open_on(sim.clone(), Kv, options).await.unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings {
        address,
        sync: SyncPolicy::Always,
        spill: true,
        connections_max: 16,
        requests: RequestLimits { bytes: 1 << 20, arguments: 100 },
        reply_bytes_max: 1 << 20,
    };
    let (stop, stopped) = oneshot::channel();
    let stopped = async { drop(stopped.await) };
    tokio::spawn(server::serve(listener, runtime, settings, stopped));
    Local { address, _stop: stop }
}

/// A line of `INFO`.
pub fn info(raw: &mut Raw, name: &str) -> String {
    raw.send("INFO\r\n");
    let info = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
    let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap().to_owned()
}

/// Asks again and again, longer than it ever takes.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < resp::PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// A file of the one shard's log, by its number.
pub fn is_segment(call: &Call, number: u64, operation: Operation) -> bool {
    call.operation == operation && call.path.ends_with(format!("shard-0/wal-{number:016x}.seg"))
}

/// Waits after the first command of a life until its log is at rest: the one frame that an idle writer adds is there
/// and synced, and so is the spare.
pub fn rest(raw: &mut Raw, sim: &SimDisk) {
    until("an idle frame", || info(raw, "wal_frames") == "2");
    until("its sync and a spare", || {
        let trace = sim.trace();
        let last = |number, operation| trace.iter().rposition(|call| is_segment(call, number, operation));
        last(1, Operation::Sync) > last(1, Operation::Write) && last(2, Operation::Sync) > last(2, Operation::Write)
    });
}

/// Makes the first call of this kind fail.
pub fn once(mut matches: impl FnMut(&Call) -> bool + Send + 'static) -> impl FnMut(&Call) -> bool + Send {
    let mut is_over = false;
    move |call| {
        let fails = !is_over && matches(call);
        is_over |= fails;
        fails
    }
}

pub fn is_log(call: &Call, shard: usize, operation: Operation) -> bool {
    let path = call.path.to_string_lossy();
    call.operation == operation && path.contains(&format!("shard-{shard}/wal-"))
}
