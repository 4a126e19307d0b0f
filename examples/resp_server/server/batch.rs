//! The requests of one read, carried out: writes are gathered and submitted together, one hop a shard.
//!
//! Invariants:
//! - A read shows every receipt that anybody got before its request arrived, and every write before it on this
//!   connection to the same shard: those are settled first. Writes to other shards it does not wait for.
//! - Whatever is neither a read of keys nor a write waits for all writes before it.
//! - After an unconfirmed command no reply is written any more.

use std::ops::ControlFlow;

use mainstay::View;
use mainstay::kv::{self, Command, Entity};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::task::spawn_blocking;

use super::action::{Action, Keyspace, Read, Scan, Shape};
use super::input::Broken;
use super::pending::{self, Pending, by_shard};
use super::reads;
use super::reply::Output;
use super::request::Request;
use super::saving;
use super::scan;
use super::session::Client;
use super::settings::Shared;
use super::table;
use super::wrong::unreadable;

/// From here on replies are sent before more are written or more requests are looked at.
pub const OUTPUT_BYTES_SOFT: usize = 256 * 1024;
/// A buffer that has grown beyond this is not kept for the next requests.
const OUTPUT_BYTES_KEPT: usize = 64 * 1024;

/// See the module.
pub struct Batch<'a> {
    socket: WriteHalf<'a>,
    /// Replies in order, up to the first write that was not settled.
    output: Output,
    shared: &'a Shared,
    client: Client,
    pending: Pending,
    view: Option<View<Entity>>,
}

impl<'a> Batch<'a> {
    pub fn new(socket: WriteHalf<'a>, shared: &'a Shared, client: Client) -> Self {
        let output = Output::new(Default::default(), shared.settings.reply_bytes_max);
        let pending = Pending::new(output.empty_like());
        Self { socket, output, shared, client, pending, view: None }
    }

    pub fn held_bytes(&self) -> usize {
        self.output.len() + self.pending.held_bytes()
    }

    /// Sends what has been replied. The next read takes a new view.
    pub async fn send(&mut self) -> ControlFlow<()> {
        // A slow peer must not keep an old state of the shards alive.
        self.view = None;
        let output = &mut self.output.buffer;
        if self.socket.write_all(output).await.is_err() {
            return ControlFlow::Break(());
        }
        output.clear();
        if output.capacity() > OUTPUT_BYTES_KEPT {
            *output = Default::default();
        }
        ControlFlow::Continue(())
    }

    /// Says that nothing follows, also to a peer that is still sending.
    pub async fn close(mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Carries a request out, or puts it off. `Break`: the connection ends after what is in the output.
    pub async fn execute(&mut self, request: &Request) -> ControlFlow<()> {
        let action = match table::parse(request) {
            Ok(action) => action,
            Err(wrong) => {
                self.settle().await?;
                self.output.error(wrong);
                return ControlFlow::Continue(());
            }
        };
        let runtime = &self.shared.runtime;
        match action {
            Action::Write(command, shape) => self.pending.push([command], shape),
            Action::SetMany(pairs) => {
                let parts = by_shard(runtime, pairs, |(key, _)| key).into_iter();
                let commands = parts.map(|pairs| Command::SetMany { pairs });
                self.pending.push(commands, Shape::Status);
            }
            Action::Delete(keys) => {
                let parts = by_shard(runtime, keys, |key| key).into_iter();
                self.pending.push(parts.map(|keys| Command::Delete { keys }), Shape::Integer);
            }
            Action::Read(read) => return self.read(&read).await,
            Action::Keyspace(keyspace) => {
                self.settle().await?;
                return self.keyspace(keyspace).await;
            }
            Action::Saving(saving) => {
                self.settle().await?;
                // It may take long, and whoever has a reply to come need not wait for that.
                self.send().await?;
                return saving::respond(saving, &self.shared.ledger, &mut self.output).await;
            }
            Action::Session(session) => {
                self.settle().await?;
                return self.client.respond(session, self.shared, &mut self.output);
            }
        }
        ControlFlow::Continue(())
    }

    /// Has all writes executed and their replies written, or sent if there is much of them.
    pub async fn settle(&mut self) -> ControlFlow<()> {
        if self.pending.is_empty() {
            return ControlFlow::Continue(());
        }
        self.view = None;
        self.pending.submit(&self.shared.runtime).await;
        loop {
            if self.pending.write(&mut self.output, OUTPUT_BYTES_SOFT).is_err() {
                return ControlFlow::Break(());
            }
            if self.pending.is_empty() {
                return ControlFlow::Continue(());
            }
            self.send().await?;
        }
    }

    /// Ends the connection with an error.
    pub async fn refuse(&mut self, broken: Broken) -> ControlFlow<()> {
        self.settle().await?;
        self.output.error(broken);
        ControlFlow::Break(())
    }

    async fn read(&mut self, read: &Read<'_>) -> ControlFlow<()> {
        if self.pending.touches(&self.shared.runtime, read.keys()) {
            self.settle().await?;
        }
        let view = match self.view.take() {
            Some(view) => view,
            None => self.shared.runtime.view().await,
        };
        let now = kv::wall_clock();
        if self.pending.is_empty() {
            reads::read(&view, read, now, &mut self.output).await;
        } else {
            let protocol = self.output.protocol;
            let write = async |output: &mut Output| reads::read(&view, read, now, output).await;
            self.pending.reply(protocol, write).await;
        }
        self.view = Some(view);
        ControlFlow::Continue(())
    }

    async fn keyspace(&mut self, keyspace: Keyspace<'_>) -> ControlFlow<()> {
        if let Keyspace::Clear = keyspace {
            return self.clear().await;
        }
        let view = self.shared.runtime.view().await;
        match keyspace {
            Keyspace::Size => reads::size(&view, &mut self.output),
            Keyspace::Scan(scan) => self.scan(&view, &scan).await,
            Keyspace::Keys(pattern) => self.keys(view, pattern.to_vec()).await,
            Keyspace::Digest => self.digest(view).await,
            Keyspace::Clear => {}
        }
        ControlFlow::Continue(())
    }

    /// Clears every shard; a reader in between may find some of them cleared.
    async fn clear(&mut self) -> ControlFlow<()> {
        let runtime = &self.shared.runtime;
        let shards = runtime.latest().shards();
        let clearing: Vec<_> = shards
            .map(|shard| {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.submit_to(shard, Command::Clear).await })
            })
            .collect();
        let mut answers = Vec::with_capacity(clearing.len());
        for answer in clearing {
            match answer.await {
                Ok(answer) => answers.push(answer),
                Err(_) => return ControlFlow::Break(()),
            }
        }
        match pending::write(answers.into_iter(), Shape::Status, &mut self.output) {
            Ok(()) => ControlFlow::Continue(()),
            Err(pending::Unconfirmed) => ControlFlow::Break(()),
        }
    }

    async fn scan(&mut self, view: &View<Entity>, scan: &Scan<'_>) {
        match scan::scan(view, scan, kv::wall_clock()).await {
            Ok(found) => {
                self.output.array(2);
                self.output.bulk(found.cursor.to_string().as_bytes());
                self.output.bulks(found.keys.iter().map(|key| Some(key.as_slice())));
            }
            Err(error) => self.output.error(unreadable(error)),
        }
    }

    /// Looks at every key there is: not for a thread that others wait for.
    async fn keys(&mut self, view: View<Entity>, pattern: Vec<u8>) {
        let mut output = self.output.empty_like();
        let work = spawn_blocking(move || {
            match scan::keys(&view, &pattern, kv::wall_clock()) {
                Ok(keys) => output.bulks(keys.into_iter().map(Some)),
                Err(error) => output.error(unreadable(error)),
            }
            output.buffer
        });
        match work.await {
            Ok(buffer) => self.output.buffer.unsplit(buffer),
            Err(_) => self.output.error("ERR the server is stopping"),
        }
    }

    async fn digest(&mut self, view: View<Entity>) {
        match spawn_blocking(move || kv::digest(&view, kv::wall_clock())).await {
            Ok(Ok(digest)) => self.output.simple(digest),
            Ok(Err(error)) => self.output.error(unreadable(error)),
            Err(_) => self.output.error("ERR the server is stopping"),
        }
    }
}
