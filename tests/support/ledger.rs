//! A machine whose state tells which commands it has seen, in which order and under which positions.
#![allow(dead_code, reason = "each test uses its part")]

use std::borrow::Cow;

use mainstay::{Abort, At, Epoch, Lsn, Position, StateMachine, Txn};
use serde::{Deserialize, Serialize};

/// Accounts by key. Each remembers every entry that was made in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger;

/// A command. Its id is its own for a whole test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub key: Vec<u8>,
    pub id: u64,
    /// Only takes space.
    pub pad: Vec<u8>,
}

/// What stands under a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Depends on all entries and their order.
    pub fold: u64,
    /// Epoch, lsn and id of every entry.
    pub history: Vec<(u64, u64, u64)>,
}

/// The next fold of an account.
pub fn fold(fold: u64, id: u64) -> u64 {
    (fold ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
}

/// A stored position.
pub fn position(epoch: u64, lsn: u64) -> Position {
    Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
}

impl StateMachine for Ledger {
    type Command = Entry;
    type Entity = Account;
    /// The account's fold after the entry.
    type Reply = u64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Entry) -> Cow<'a, [u8]> {
        Cow::Borrowed(&command.key)
    }

    fn apply(&self, at: At, state: &mut Txn<'_, Account>, entry: Entry) -> Result<u64, Abort> {
        let found = state.get(&entry.key)?;
        let mut account = found.map_or_else(Account::default, |account| (*account).clone());
        account.fold = fold(account.fold, entry.id);
        account.history.push((at.position.epoch.0, at.position.lsn.0, entry.id));
        let fold = account.fold;
        state.put(&entry.key, account);
        Ok(fold)
    }

    fn heap_bytes(&self, account: &Account) -> usize {
        account.history.len() * 24
    }
}
