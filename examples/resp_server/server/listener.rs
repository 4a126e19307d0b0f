//! Accepts connections, bounds their number, and drains them at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay::Runtime;
use mainstay::kv::Kv;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection;
use super::session::Client;
use super::settings::{Settings, Shared};

/// Connections that are in the middle of something get this long to finish at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// When the process is out of descriptors, one may be free again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready or a client says `SHUTDOWN`. On return every request that was begun has been
/// answered, or its connection was closed without an answer.
pub async fn serve(listener: TcpListener, runtime: Runtime<Kv>, settings: Settings, stop: impl Future<Output = ()>) {
    let shared = Arc::new(Shared::new(runtime, settings));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    let mut stopped = std::pin::pin!(shared.stopped());
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => admit(socket, &shared, &mut connections).await,
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    shared.stop();
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        connections.shutdown().await;
    }
}

async fn admit(mut socket: TcpStream, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    // Those that have ended give their places back first.
    while connections.try_join_next().is_some() {}
    let counters = &shared.counters;
    let id = counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
    if connections.len() >= shared.settings.connections_max {
        counters.rejected.fetch_add(1, Ordering::Relaxed);
        // The buffer of a new socket takes a line; nobody waits for a peer here.
        let _ = socket.try_write(b"-ERR max number of clients reached\r\n");
        let _ = socket.shutdown().await;
        return;
    }
    let address = socket.peer_addr().map_or_else(|_| "?".to_owned(), |peer| peer.to_string());
    let client = Client { id, address, name: Default::default() };
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        let connected = &shared.counters.connected;
        connected.fetch_add(1, Ordering::Relaxed);
        connection::run(socket, client, &shared).await;
        connected.fetch_sub(1, Ordering::Relaxed);
    });
}
