//! What was written and how that was answered, key by key: what a reader may find.

use std::collections::BTreeMap;

use mainstay::kv::{Command, Entity, Kv};
use mainstay::{Runtime, SubmitError, View};

/// A value, or that there is none.
pub type Content = Option<Vec<u8>>;

/// What may be found under one key.
#[derive(Clone, Default)]
struct Known {
    /// What was acknowledged last.
    acknowledged: Content,
    /// Sent behind that, with an outcome that nobody knows.
    open: Vec<Content>,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Book {
    keys: BTreeMap<String, Known>,
    /// Commands that were acknowledged, and those that were refused.
    pub acknowledged: usize,
    pub refused: Vec<SubmitError>,
}

impl Book {
    /// What was acknowledged last.
    pub fn get(&self, key: &str) -> Content {
        self.keys.get(key).and_then(|known| known.acknowledged.clone())
    }

    /// Something has been sent for a key, and was answered like this.
    pub fn note(&mut self, key: &str, content: Content, answer: Result<(), SubmitError>) {
        let known = self.keys.entry(key.to_owned()).or_default();
        match answer {
            Ok(()) => {
                *known = Known { acknowledged: content, open: Vec::new() };
                self.acknowledged += 1;
            }
            Err(error) => {
                // What was not executed never has an effect.
                if !matches!(error, SubmitError::NotExecuted(_)) {
                    known.open.push(content);
                }
                self.refused.push(error);
            }
        }
    }

    /// Sends one command for each key, all at once.
    pub async fn send(&mut self, runtime: &Runtime<Kv>, contents: Vec<(String, Content)>) {
        let command = |(key, content): &(String, Content)| match content {
            Some(value) => Command::set(key.clone(), value.clone()),
            None => Command::delete(key.clone()),
        };
        let answers = runtime.submit_many(contents.iter().map(command).collect()).await;
        for ((key, content), answer) in contents.into_iter().zip(answers) {
            self.note(&key, content, answer.map(drop));
        }
    }

    /// Everything that a reader finds and that cannot be. What is found settles what was open.
    pub async fn check(&mut self, runtime: &Runtime<Kv>) -> Vec<String> {
        self.check_view(&runtime.view().await).await
    }

    pub async fn check_view(&mut self, view: &View<Entity>) -> Vec<String> {
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        let mut wrong = Vec::new();
        for (key, found) in keys.iter().zip(view.read_many(&keys).await) {
            let known = self.keys.get_mut(key).unwrap();
            let found = match found {
                Ok(found) => found.map(|entity| entity.value().to_vec()),
                Err(error) => {
                    wrong.push(format!("{key}: {error}"));
                    continue;
                }
            };
            if found != known.acknowledged && !known.open.contains(&found) {
                let open: Vec<_> = known.open.iter().map(text).collect();
                wrong.push(format!("{key} is {}, not {} or {open:?}", text(&found), text(&known.acknowledged)));
            }
        }
        let count: usize = view.shards().map(|shard| view.len(shard).unwrap_or_default()).sum();
        let (least, most) = self.keys.values().fold((0, 0), |(least, most), known| {
            let is_there = known.open.iter().chain([&known.acknowledged]).map(Option::is_some);
            let (always, sometimes) = (is_there.clone().all(|there| there), is_there.clone().any(|there| there));
            (least + usize::from(always), most + usize::from(sometimes))
        });
        if wrong.is_empty() && !(least..=most).contains(&count) {
            wrong.push(format!("there are {count} keys, and {least} to {most} were written"));
        }
        wrong
    }
}

/// The beginning of a value says which one it is.
fn text(content: &Content) -> String {
    let Some(value) = content else { return "nothing".to_owned() };
    format!("{:?} of {} bytes", String::from_utf8_lossy(value.get(..20).unwrap_or(value)), value.len())
}
