//! The manifest keeper's shell: the only thread that writes the manifest.
//!
//! It feeds [`protocol::manifest`](crate::protocol::manifest) one request at a time and carries out what that says.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use ractor::thread_local::ThreadLocalActor;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::model::{Edit, EditOutcome, Manifest};
use crate::protocol::manifest::{Effect, Event, Generation, Keeper, Token};
use crate::storage::disk::{DirectoryLock, Disk};
use crate::storage::layout::Layout;
use crate::storage::manifest_log::{GenerationError, ManifestLog};
use crate::sync::Arc;

/// What the keeper is asked.
#[derive(Debug)]
pub(crate) enum KeeperMessage {
    /// Commit these edits, all or none.
    Commit { edits: Vec<Edit>, reply: oneshot::Sender<EditOutcome> },
}

/// What the keeper starts with.
pub(crate) struct KeeperArguments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) log: ManifestLog,
    pub(crate) manifest: Manifest,
    pub(crate) torn: bool,
    pub(crate) published: Arc<ArcSwap<Manifest>>,
    pub(crate) lock: Arc<dyn DirectoryLock>,
}

pub(crate) struct KeeperState {
    core: Keeper,
    disk: Arc<dyn Disk>,
    layout: Layout,
    log: ManifestLog,
    published: Arc<ArcSwap<Manifest>>,
    waiting: BTreeMap<Token, oneshot::Sender<EditOutcome>>,
    next_token: Token,
    #[expect(dead_code, reason = "held: this thread can write")]
    lock: Arc<dyn DirectoryLock>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct ManifestKeeper;

impl ThreadLocalActor for ManifestKeeper {
    type Msg = KeeperMessage;
    type State = KeeperState;
    type Arguments = KeeperArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<KeeperMessage>,
        arguments: KeeperArguments,
    ) -> Result<KeeperState, ActorProcessingErr> {
        Ok(KeeperState {
            core: Keeper::new(arguments.manifest, arguments.torn),
            disk: arguments.disk,
            layout: arguments.layout,
            log: arguments.log,
            published: arguments.published,
            waiting: BTreeMap::new(),
            next_token: 0,
            lock: arguments.lock,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<KeeperMessage>,
        message: KeeperMessage,
        state: &mut KeeperState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KeeperMessage::Commit { edits, reply } => {
                state.next_token += 1;
                state.waiting.insert(state.next_token, reply);
                state.feed(Event::Request(state.next_token, edits));
            }
        }
        Ok(())
    }
}

impl KeeperState {
    fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.core.on_event(event, &mut effects);
            for effect in effects {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Append(edits) => {
                let appended = self.log.append(&edits);
                if let Err(error) = &appended {
                    tracing::error!(%error, "an edit of the manifest failed");
                }
                let full = self.log.wants_generation();
                return Some(Event::Appended { ok: appended.is_ok(), full });
            }
            Effect::ChangeGeneration(manifest) => {
                let changed = self.log.change_generation(&manifest);
                if let Err(error) = &changed {
                    tracing::error!(%error, "the manifest's generation could not be changed");
                }
                return Some(Event::GenerationEnded(match changed {
                    Ok(()) => Generation::Changed,
                    Err(GenerationError::Unchanged(_)) => Generation::Unchanged,
                    Err(GenerationError::Unknown(_)) => Generation::Unknown,
                }));
            }
            Effect::Publish(manifest) => self.published.store(Arc::new(manifest)),
            Effect::Answer(token, outcome) => {
                if let Some(reply) = self.waiting.remove(&token) {
                    // A requester that is gone needs no answer.
                    let _ = reply.send(outcome);
                }
            }
            Effect::Delete(files) => {
                for file in files {
                    let path = self.layout.file(file);
                    // What stays is an orphan, swept by a later open.
                    if let Err(error) = self.disk.remove(&path) {
                        tracing::warn!(%error, file = %path.display(), "cannot delete");
                    }
                }
            }
        }
        None
    }
}
