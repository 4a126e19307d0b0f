//! The application has supervisors of its own: it spawns the root linked to one of them, and hears when it ends.
//!
//! `cargo run --release --example embedded_supervisor`

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use mainstay::kv::{self, Command};
use mainstay::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, call};
use mainstay::{Options, Root, RootArguments, RootMessage, Runtime};

/// The application's own supervisor.
struct Application;

enum Message {
    /// Hand out the runtime.
    Runtime(RpcReplyPort<Runtime<kv::Kv>>),
    /// Stop the runtime, then yourself.
    Stop(RpcReplyPort<()>),
}

struct State {
    root: ActorRef<RootMessage<kv::Kv>>,
    stopped: Option<RpcReplyPort<()>>,
}

impl Actor for Application {
    type Msg = Message;
    type State = State;
    type Arguments = Options;

    async fn pre_start(&self, myself: ActorRef<Message>, options: Options) -> Result<State, ActorProcessingErr> {
        let arguments = RootArguments::new(kv::Kv, options);
        let name = Some("application/store".to_owned());
        let (root, _) = Root::spawn_linked(name, Root::default(), arguments, myself.get_cell()).await?;
        Ok(State { root, stopped: None })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Runtime(reply) => drop(reply.send(call!(state.root, RootMessage::Runtime)?)),
            Message::Stop(reply) => {
                state.stopped = Some(reply);
                call!(state.root, RootMessage::Shutdown)??;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(who, ..) = &event {
            println!("the supervisor hears that {:?} has ended", who.get_name());
            state.stopped.take().map(|reply| reply.send(()));
            myself.stop(None);
        }
        // A root that fails (its directory is gone, say) ends the application: here one could open another.
        if let SupervisionEvent::ActorFailed(_, error) = event {
            return Err(error);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let options = Options::new(dir.path());
    let (application, handle) = Actor::spawn(Some("application".to_owned()), Application, options).await?;

    let runtime = call!(application, Message::Runtime)?;
    runtime.submit(Command::set("greeting", "hello")).await?;
    let view = runtime.view().await;
    let greeting = kv::read(&view, b"greeting", kv::wall_clock()).await?;
    println!("greeting = {:?}", greeting.map(|entity| entity.value().to_vec()));

    call!(application, Message::Stop)?;
    handle.await?;
    println!("stopped in good order: {:?}", runtime.submit(Command::set("a", "b")).await);
    Ok(())
}
