//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;

const BUDGET: Budget = Budget { restarts: 3, within_ms: 1_000, pause_ms: 10, pause_max_ms: 25 };

fn feed(lives: &mut Lives, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    lives.on_event(event, &mut effects);
    effects
}

fn die(lives: &mut Lives, now_ms: u64) -> Vec<Effect> {
    feed(lives, Event::Died { incarnation: lives.incarnation(), now_ms })
}

fn live_again(lives: &mut Lives) {
    let next = lives.incarnation();
    assert_eq!(feed(lives, Event::PauseOver(next)), [Effect::Recover(next)]);
    assert_eq!(feed(lives, Event::Recovered(next)), [Effect::Start(next)]);
}

#[test]
fn a_death_is_followed_by_a_new_life() {
    let (first, second) = (Incarnation(1), Incarnation(2));
    let mut lives = Lives::new(BUDGET, first);
    assert_eq!(die(&mut lives, 0), [Effect::Revoke(first), Effect::Pause(second, 10)]);
    assert!(!lives.is_serving());
    live_again(&mut lives);
    assert!(lives.is_serving());
}

#[test]
fn the_pause_doubles_and_the_budget_ends() {
    let mut lives = Lives::new(BUDGET, Incarnation(1));
    for (at, pause_ms) in [10, 20, 25].into_iter().enumerate() {
        let effects = die(&mut lives, at as u64);
        assert_eq!(effects.last(), Some(&Effect::Pause(Incarnation(at as u64 + 2), pause_ms)));
        live_again(&mut lives);
    }
    let last = lives.incarnation();
    let next = last.next();
    assert_eq!(die(&mut lives, 3), [Effect::Revoke(last), Effect::Refuse, Effect::Recover(next)]);
    let fence = Effect::Fence(Fenced::OverBudget);
    assert_eq!(feed(&mut lives, Event::Recovered(next)), [Effect::Show(next), fence]);
    assert!(!lives.is_serving());
}

#[test]
fn a_log_that_cannot_be_read_for_the_last_time_fences_all_the_same() {
    let next = Incarnation(2);
    for reads_that_fail in [0, LAST_READS - 1] {
        let mut lives = Lives::new(Budget { restarts: 0, ..BUDGET }, Incarnation(1));
        assert_eq!(die(&mut lives, 0).last(), Some(&Effect::Recover(next)));
        for _ in 0..reads_that_fail {
            assert_eq!(die(&mut lives, 1), [Effect::Pause(next, 25)]);
            assert_eq!(die(&mut lives, 1), []);
            assert_eq!(feed(&mut lives, Event::PauseOver(next)), [Effect::Recover(next)]);
        }
        let event = match reads_that_fail {
            0 => Event::Refused(next),
            _ => Event::Died { incarnation: next, now_ms: 1 },
        };
        assert_eq!(feed(&mut lives, event), [Effect::Fence(Fenced::OverBudget)]);
        assert_eq!(feed(&mut lives, event), []);
    }
}

#[test]
fn old_deaths_are_forgotten() {
    let mut lives = Lives::new(BUDGET, Incarnation(1));
    for at in 0..20 {
        assert!(matches!(die(&mut lives, at * 1_001).last(), Some(Effect::Pause(_, 10))));
        live_again(&mut lives);
    }
}

#[test]
fn a_log_that_cannot_be_read_fences() {
    let mut lives = Lives::new(BUDGET, Incarnation(1));
    die(&mut lives, 0);
    feed(&mut lives, Event::PauseOver(Incarnation(2)));
    let refused = Event::Refused(Incarnation(2));
    assert_eq!(feed(&mut lives, refused), [Effect::Fence(Fenced::Refused)]);
    assert_eq!(feed(&mut lives, refused), []);
}

/// However often a rollback comes, it is nobody's death.
#[test]
fn a_rollback_is_no_death() {
    let mut lives = Lives::new(Budget { restarts: 0, ..BUDGET }, Incarnation(1));
    for _ in 0..10 {
        let ended = lives.incarnation();
        let next = ended.next();
        let effects = feed(&mut lives, Event::Abandoned(ended));
        assert_eq!(effects, [Effect::Revoke(ended), Effect::Pause(next, 10)]);
        assert_eq!(feed(&mut lives, Event::Abandoned(ended)), []);
        feed(&mut lives, Event::PauseOver(next));
        let handed = next.next();
        assert_eq!(feed(&mut lives, Event::RolledBack(handed)), [Effect::Revoke(next), Effect::Start(handed)]);
        assert_eq!(feed(&mut lives, Event::Recovered(next)), [], "what was read is old");
        assert!(lives.is_serving());
    }
}

#[test]
fn a_shard_over_budget_shows_what_a_rollback_has_left() {
    let mut lives = Lives::new(Budget { restarts: 0, ..BUDGET }, Incarnation(1));
    die(&mut lives, 0);
    let next = Incarnation(2);
    assert_eq!(feed(&mut lives, Event::Abandoned(next)), [Effect::Pause(next, 25)]);
    let handed = Incarnation(3);
    let fence = Effect::Fence(Fenced::OverBudget);
    assert_eq!(feed(&mut lives, Event::RolledBack(handed)), [Effect::Show(handed), fence]);
}

#[test]
fn a_stop_revokes_and_is_final() {
    let mut lives = Lives::new(BUDGET, Incarnation(1));
    assert_eq!(feed(&mut lives, Event::Stop), [Effect::Revoke(Incarnation(1))]);
    assert_eq!(die(&mut lives, 0), []);
    assert_eq!(feed(&mut lives, Event::Stop), []);
}
