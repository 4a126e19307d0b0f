//! The handle to the manifest keeper: edits for those who change the manifest, the published value for those who read
//! it.

use arc_swap::ArcSwap;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::manifest_keeper::KeeperMessage;
use crate::model::{Edit, EditOutcome, Manifest};
use crate::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    actor: ActorRef<KeeperMessage>,
    published: Arc<ArcSwap<Manifest>>,
}

impl Keeper {
    pub(crate) fn new(actor: ActorRef<KeeperMessage>, published: Arc<ArcSwap<Manifest>>) -> Self {
        Self { actor, published }
    }

    /// The last state that is certainly durable.
    pub(crate) fn manifest(&self) -> Arc<Manifest> {
        self.published.load_full()
    }

    /// Has an edit committed. A keeper that dies meanwhile leaves the outcome open.
    pub(crate) async fn edit(&self, edit: Edit) -> EditOutcome {
        self.edits(vec![edit]).await
    }

    /// Has several edits committed, all or none.
    pub(crate) async fn edits(&self, edits: Vec<Edit>) -> EditOutcome {
        match self.request(edits) {
            Some(answer) => answer.await.unwrap_or(EditOutcome::Indeterminate),
            None => EditOutcome::Failed,
        }
    }

    /// The same of one, from a thread outside of any runtime.
    pub(crate) fn edit_blocking(&self, edit: Edit) -> EditOutcome {
        match self.request(vec![edit]) {
            Some(answer) => answer.blocking_recv().unwrap_or(EditOutcome::Indeterminate),
            None => EditOutcome::Failed,
        }
    }

    /// `None`: the keeper is gone and has not seen the edit.
    fn request(&self, edits: Vec<Edit>) -> Option<oneshot::Receiver<EditOutcome>> {
        let (reply, answer) = oneshot::channel();
        self.actor.cast(KeeperMessage::Commit { edits, reply }).ok().map(|()| answer)
    }
}
