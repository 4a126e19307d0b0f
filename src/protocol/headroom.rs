//! What a shard does about its memory: when it says that there is too much, who waits for a spill, what may come back.
//!
//! ```text
//! 0 ------------------------------- mark ------- share
//!   what is read again comes back    |  a spill is wanted, and goes on
//!                                    |             | a command waits for it, or is refused
//! ```
//! - Over the mark the [spiller](super::spill) is told so, once, and once more when it is over. One command at a time
//!   may wait for memory; as long as it does that counts as too much, however little the others take.
//! - Nothing grows beyond the share. What would not fit beside the keys, which no spill takes, is refused at once; so
//!   is everything while nobody can say when there will be memory.
//! - Where keys take nearly all of it the mark lies as far above them as leaves room for a file's worth of values: else
//!   a file would be made for each that comes. Where there is nothing but keys, there is nothing to spill, whatever the
//!   mark: nobody is sent to look for it.
//! - The root that readers have keeps what was displaced since it was published. Where the share has no room for that,
//!   a newer one is wanted as soon as it is a sixteenth of it.
//! - What is read again and again comes back up to the mark. When there is no room below it, room for one batch is
//!   asked for, now and then: reads alone never keep a disk busy.
//!
//! Whoever changes the bytes asks for [`Headroom::pressure`] behind that, and tells it on. Not here: which entities
//! leave or come back, and the state's size itself.

use super::spill::Gate;

/// So long passes between two spills that only make room for what comes back.
pub const WISH_MS: u64 = 1_000;

/// Of a share one part of so many is left free by spilling.
pub const SPARE_PART: u64 = 8;

/// Beside the keys there is room for one part of so many, as long as they leave it.
const VALUES_PART: u64 = 16;

/// When so much of the share was spilled, the [clock of use](crate::state::map::Tick) goes on.
const TICK_PART: u64 = 16;

/// Where a share has no room for what the published root keeps, that may be one part of so many.
const KEPT_PART: u64 = 16;

/// What a state takes, in bytes as accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// All of it.
    pub bytes: u64,
    /// The part of it that cannot be spilled: keys, places, and what is smaller than a place.
    pub keys: u64,
}

impl Size {
    fn values(self) -> u64 {
        self.bytes.saturating_sub(self.keys)
    }
}

/// What becomes of a command that was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There is room for it.
    Lands,
    /// It waits for a spill, and is the next to run.
    Waits,
    /// There is no room, and nobody knows when there will be.
    Refused,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// None: as much as it takes.
    share: Option<u64>,
    /// None: nothing is spilled.
    mark: Option<u64>,
    /// What is beside it leaves it so much, in bytes.
    left: u64,
    /// By so much the command grows the state that waits, if one does.
    waiting: u64,
    /// What could not come back, or was refused though a spill might have helped, in bytes.
    wish: u64,
    wished_ms: Option<u64>,
    /// The spiller was told that there is too much.
    is_pressed: bool,
    /// What was spilled since the last tick, in bytes.
    spilled: u64,
    /// What was displaced since a root was last sent to be published, in bytes.
    kept: u64,
}

impl Headroom {
    /// For a state that may take `share` bytes, and is spilled from `mark` bytes on.
    #[must_use]
    pub fn new(share: Option<u64>, mark: Option<u64>) -> Self {
        Self {
            share,
            mark,
            left: u64::MAX,
            waiting: 0,
            wish: 0,
            wished_ms: None,
            is_pressed: false,
            spilled: 0,
            kept: 0,
        }
    }

    /// So much the state may take, in bytes; none: it does not matter.
    #[must_use]
    pub fn share(&self) -> Option<u64> {
        self.share
    }

    /// Is there room for so many bytes more, beside whatever else has its place in the share?
    #[must_use]
    pub fn has(&self, bytes: u64, more: u64) -> bool {
        self.fits(bytes, more) && bytes.saturating_add(more) <= self.left
    }

    /// What becomes of a command by which a state of this size grows. Nobody else waits.
    pub fn run(&mut self, size: Size, growth: i64, gate: Gate) -> Fate {
        self.waiting = 0;
        let Ok(growth) = u64::try_from(growth) else { return Fate::Lands };
        if growth == 0 || self.has(size.bytes, growth) {
            return Fate::Lands;
        }
        let cannot_make_way = self.mark.is_none() || size.values() == 0 || gate == Gate::Refuse;
        if cannot_make_way && self.fits(size.bytes, growth) {
            // Nobody is refused for what is beside the state.
            return Fate::Lands;
        }
        if self.mark.is_none() || !self.fits(size.keys, growth) {
            return Fate::Refused;
        }
        if gate == Gate::Refuse {
            // It does not wait for another try, but there has to be one.
            self.wish = self.wish.max(growth);
            return Fate::Refused;
        }
        self.waiting = growth;
        Fate::Waits
    }

    /// By so much the command grows the state that waits; 0: none does.
    #[must_use]
    pub fn waits_for(&self) -> u64 {
        self.waiting
    }

    /// The command that waits does so no more.
    pub fn given_up(&mut self) {
        self.waiting = 0;
    }

    /// May something come back by which a state of this size grows?
    pub fn returns(&mut self, now_ms: u64, size: Size, growth: u64) -> bool {
        let Some(mark) = self.mark(size).or(self.share) else { return true };
        if size.bytes.saturating_add(growth) <= mark {
            return true;
        }
        let could_fit = size.keys.saturating_add(growth) <= mark;
        if could_fit && self.wished_ms.is_none_or(|wished| now_ms >= wished.saturating_add(WISH_MS)) {
            (self.wish, self.wished_ms) = (self.wish.max(growth), Some(now_ms));
        }
        false
    }

    /// What the spiller is to be told, if that has changed.
    pub fn pressure(&mut self, size: Size) -> Option<u64> {
        let over = self.over(size);
        let has_changed = (over > 0) != self.is_pressed;
        self.is_pressed = over > 0;
        has_changed.then_some(over)
    }

    /// Another state of so many bytes is beside this one, for a while: this one makes room for it as far as there is
    /// something to spill. Commands wait for that, and are not refused because of it.
    pub fn make_way(&mut self, beside: u64) {
        let left = self.share.filter(|_| beside > 0).map(|share| share.saturating_sub(beside));
        self.left = left.unwrap_or(u64::MAX);
    }

    /// A spill was handed over. By so much there is too much still, for whoever has spilled.
    pub fn handed_over(&mut self, size: Size) -> u64 {
        self.wish = 0;
        let over = self.over(size);
        self.is_pressed = over > 0;
        over
    }

    /// So many bytes were spilled. Says whether that makes a tick: an age is a part of the memory that was turned over,
    /// however large a batch is.
    pub fn spilled(&mut self, bytes: u64) -> bool {
        self.spilled += bytes;
        let makes_a_tick = self.share.is_none_or(|share| self.spilled >= share / TICK_PART);
        if makes_a_tick {
            self.spilled = 0;
        }
        makes_a_tick
    }

    /// So many bytes of the state were replaced or removed: the published root keeps them, at most.
    pub fn displaced(&mut self, bytes: u64) {
        self.kept = self.kept.saturating_add(bytes);
    }

    /// Does what the published root keeps want another one, beside a state of this size?
    #[must_use]
    pub fn is_outdated(&self, size: Size) -> bool {
        self.share.is_some_and(|share| self.kept > share / KEPT_PART && !self.fits(size.bytes, self.kept))
    }

    /// A root of the state as it is goes to be published.
    pub fn refreshed(&mut self) {
        self.kept = 0;
    }

    fn fits(&self, bytes: u64, more: u64) -> bool {
        self.share.is_none_or(|share| bytes.saturating_add(more) <= share)
    }

    /// From so many bytes on it is spilled.
    fn mark(&self, size: Size) -> Option<u64> {
        let (share, mark) = (self.share?, self.mark?);
        Some(mark.max(size.keys.saturating_add(share / VALUES_PART)).min(share).min(self.left))
    }

    fn over(&self, size: Size) -> u64 {
        let (Some(share), Some(mark)) = (self.share, self.mark(size)) else { return 0 };
        let lacks = |growth: u64, limit: u64| if growth > 0 { (size.bytes + growth).saturating_sub(limit) } else { 0 };
        let waits = lacks(self.waiting, share.min(self.left));
        let over = size.bytes.saturating_sub(mark).max(waits).max(lacks(self.wish, mark));
        over.min(size.values())
    }
}

/// What becomes of a state that is read beside the one that serves, when it takes so many bytes: both have to find
/// place in a share. An eighth of that is free where values are spilled, and the present state makes room as far as it
/// has more than keys.
#[must_use]
pub fn beside(share: u64, bytes: u64, present: u64, present_keys: u64) -> Fate {
    if bytes <= share / SPARE_PART || present.saturating_add(bytes) <= share {
        Fate::Lands
    } else if present_keys.saturating_add(bytes) <= share {
        Fate::Waits
    } else {
        Fate::Refused
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
