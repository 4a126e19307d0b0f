//! One connection: reads what is there, carries it out, and writes all replies at once.
//!
//! Invariants: replies come in the order of the requests; what waits to be sent is bounded by [`OUTPUT_BYTES_SOFT`]
//! and one reply, because a peer that does not read is not served further; a connection that ends in the middle of a
//! command has not told the peer anything about it.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::batch::{Batch, OUTPUT_BYTES_SOFT};
use super::input::{Input, Received};
use super::request::Message;
use super::session::Client;
use super::settings::Shared;

/// Serves a client until it leaves, breaks the protocol, or the server stops.
pub async fn run(mut socket: TcpStream, client: Client, shared: &Shared) {
    // Replies are written in one piece; waiting for more would only delay them.
    let _ = socket.set_nodelay(true);
    let mut input = Input::new(shared.settings.requests);
    let (mut requests, replies) = socket.split();
    let mut batch = Batch::new(replies, shared, client);
    let mut stopped = std::pin::pin!(shared.stopped());
    loop {
        input.reserve();
        tokio::select! {
            // A client that never pauses must not keep the server from ending.
            biased;
            () = &mut stopped => return,
            read = requests.read_buf(&mut input.buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
        }
        let received = input.take();
        shared.counters.requests.fetch_add(received.requests.len() as u64, Ordering::Relaxed);
        let flow = serve(received, &mut batch).await;
        if batch.send().await.is_break() || flow.is_break() {
            return batch.close().await;
        }
    }
}

/// Carries out whole requests. The last replies are left in the batch's output.
async fn serve(received: Received, batch: &mut Batch<'_>) -> ControlFlow<()> {
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
            batch.send().await?;
        }
    }
    match broken {
        Some(broken) => batch.refuse(broken).await,
        None => batch.settle().await,
    }
}
