//! Requests about the connection and the server, carried out.

use std::ops::ControlFlow;

use bytes::Bytes;
use mainstay::kv;

use super::action::{Hello, Session};
use super::reply::{Output, Protocol};
use super::settings::{REDIS_VERSION, Shared};
use super::table::COMMANDS;
use super::{catalog, info};

/// What the server knows of a client.
pub struct Client {
    pub id: u64,
    pub address: String,
    pub name: Bytes,
}

impl Client {
    /// Replies; `Break`: the connection ends.
    pub fn respond(&mut self, session: Session<'_>, shared: &Shared, output: &mut Output) -> ControlFlow<()> {
        match session {
            Session::Ping(None) => output.simple("PONG"),
            Session::Ping(Some(text)) | Session::Echo(text) => output.bulk(text),
            Session::Hello(hello) => self.hello(hello, output),
            Session::Select | Session::Granted => output.ok(),
            Session::ClientId => output.integer(i64::try_from(self.id).unwrap_or(i64::MAX)),
            Session::ClientName => {
                output.bulk_or_null(Some(&*self.name).filter(|name| !name.is_empty()));
            }
            Session::ClientSetName(name) => {
                self.name = name;
                output.ok();
            }
            Session::ClientInfo => {
                let (id, address) = (self.id, &self.address);
                let name = self.name.escape_ascii();
                output.text(&format!("id={id} addr={address} name={name} db=0\n"));
            }
            Session::ConfigGet(names) => catalog::config(&names, shared, output),
            Session::CommandCount => output.count(COMMANDS.len()),
            Session::CommandInfo(names) => catalog::info(names.as_deref(), output),
            Session::CommandList => catalog::list(output),
            // redis-cli shows what it finds here as hints, and does without.
            Session::CommandDocs => output.map(0),
            Session::Info(sections) => output.text(&info::info(shared, &sections)),
            Session::Time => time(output),
            Session::Quit => {
                output.ok();
                return ControlFlow::Break(());
            }
            Session::Shutdown => {
                shared.stop();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn hello(&mut self, hello: Hello, output: &mut Output) {
        if let Some(version) = hello.version {
            output.protocol = if version == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
        }
        if let Some(name) = hello.name {
            self.name = name;
        }
        output.map(7);
        output.bulk(b"server");
        output.bulk(b"redis");
        output.bulk(b"version");
        output.bulk(REDIS_VERSION.as_bytes());
        output.bulk(b"proto");
        output.integer(if output.protocol == Protocol::Resp3 { 3 } else { 2 });
        output.bulk(b"id");
        output.integer(i64::try_from(self.id).unwrap_or(i64::MAX));
        output.bulk(b"mode");
        output.bulk(b"standalone");
        output.bulk(b"role");
        output.bulk(b"master");
        output.bulk(b"modules");
        output.array(0);
    }
}

fn time(output: &mut Output) {
    let now = kv::wall_clock().0;
    let parts = [now / 1_000_000, now % 1_000_000].map(|part| part.to_string());
    output.bulks(parts.iter().map(|part| Some(part.as_bytes())));
}
