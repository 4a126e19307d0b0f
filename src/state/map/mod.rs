//! The in-memory state of a shard: a persistent (structurally shared) hash trie map.
//!
//! A clone is one root: O(1), and neither side sees what the other does afterwards. A change copies
//! the path to its entry as far as it is shared with another root and works in place below that, so
//! a map that nobody has cloned behaves like an ordinary mutable one.
//!
//! - Fan-out 16. The caller's 64-bit hash is consumed from its most significant nibble down, so the order of iteration
//!   is ascending hash, and ascending key among entries of one full hash. It is the same for every root of a shard,
//!   which is what lets a cursor travel from one root to the next.
//! - Up to 31 entries whose hashes begin alike lie side by side in a cluster; more are spread over a branch. The shape
//!   depends on what was there before, the order of iteration does not.
//! - Depth is at most 16, so neither dropping a root nor removing an entry can exhaust a stack.
//!
//! Not here: hashing (callers bring the hash), transactions, the limit on memory and the choice of
//! what to spill. There is no protocol between threads either, so nodes, entries and values are
//! counted by `std`'s `Arc` in loom builds too: loom's cannot copy on write, and exploring its
//! counts would prove only that `Arc` works. An entry's access mark is the one thing that readers
//! write; it comes from [`crate::sync`].

mod builder;
mod clock;
mod cluster;
mod entry;
mod iter;
mod node;
mod part;
mod trie;

#[cfg(all(test, not(loom)))]
mod tests;

pub use builder::Builder;
pub use clock::{Age, Tick};
pub use entry::{EntityRef, Entry, Found, Key, Value};
pub use iter::{Batch, Cursor, Iter};
pub use part::Part;
pub use trie::{ENTRY_BYTES, Map, WARMED_UP};
