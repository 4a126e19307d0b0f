//! One connection: reads what is there, carries it out, and writes all replies at once.
//!
//! Invariants: replies come in the order of the requests; what waits to be sent is bounded by [`OUTPUT_BYTES_SOFT`]
//! and one reply, because a peer that does not read is not served further; a connection that ends in the middle of a
//! command has not told the peer anything about it.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::batch::Batch;
use super::input::{Input, Received};
use super::request::Message;
use super::session::Client;
use super::settings::Shared;

/// From here on replies are sent before more requests are looked at.
const OUTPUT_BYTES_SOFT: usize = 256 * 1024;
/// A buffer that has grown beyond this is not kept for the next requests.
const OUTPUT_BYTES_KEPT: usize = 64 * 1024;

/// Serves a client until it leaves, breaks the protocol, or the server stops.
pub async fn run(mut socket: TcpStream, client: Client, shared: &Shared) {
    // Replies are written in one piece; waiting for more would only delay them.
    let _ = socket.set_nodelay(true);
    let mut input = Input::new(shared.settings.requests);
    let mut batch = Batch::new(shared, client);
    let mut stopped = std::pin::pin!(shared.stopped());
    loop {
        input.reserve();
        tokio::select! {
            // A client that never pauses must not keep the server from ending.
            biased;
            () = &mut stopped => return,
            read = socket.read_buf(&mut input.buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
        }
        let received = input.take();
        shared.counters.requests.fetch_add(received.requests.len() as u64, Ordering::Relaxed);
        let flow = serve(received, &mut batch, &mut socket).await;
        if send(&mut batch, &mut socket).await.is_break() || flow.is_break() {
            // Says that nothing follows, also to a peer that is still sending.
            let _ = socket.shutdown().await;
            return;
        }
    }
}

/// Carries out whole requests. The last replies are left in the batch's output.
async fn serve(received: Received, batch: &mut Batch<'_>, socket: &mut TcpStream) -> ControlFlow<()> {
    let Received { bytes, requests, broken } = received;
    for range in requests {
        match Message::decode(&bytes, range) {
            Ok(Message::Request(request)) => batch.execute(&request).await?,
            Ok(Message::Nothing) => {}
            Ok(Message::Http) => {
                batch.settle().await?;
                return ControlFlow::Break(());
            }
            Err(broken) => return batch.refuse(broken).await,
        }
        if batch.held_bytes() >= OUTPUT_BYTES_SOFT {
            batch.settle().await?;
            send(batch, socket).await?;
        }
    }
    match broken {
        Some(broken) => batch.refuse(broken).await,
        None => batch.settle().await,
    }
}

async fn send(batch: &mut Batch<'_>, socket: &mut TcpStream) -> ControlFlow<()> {
    // A slow peer must not keep an old state of the shards alive.
    batch.release_view();
    let output = &mut batch.output.buffer;
    if socket.write_all(output).await.is_err() {
        return ControlFlow::Break(());
    }
    output.clear();
    if output.capacity() > OUTPUT_BYTES_KEPT {
        *output = Default::default();
    }
    ControlFlow::Continue(())
}
