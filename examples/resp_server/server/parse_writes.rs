//! Requests that change keys, as commands of `mainstay::kv`.

use mainstay::kv::{self, Command, Expiry, When};

use super::action::{Action, Shape};
use super::request::Request;
use super::wrong::Wrong;

type Parsed<'a> = Result<Action<'a>, Wrong>;

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(request: &Request) -> Parsed<'_> {
    let mut when = None;
    let mut timing = None;
    let mut number_at = 0;
    let mut previous = false;
    let mut index = 3;
    while let Some(option) = request.get(index) {
        index += 1;
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("NX") {
            choose(&mut when, When::IfAbsent)?;
        } else if is("XX") {
            choose(&mut when, When::IfPresent)?;
        } else if is("GET") {
            previous = true;
        } else if is("KEEPTTL") {
            choose(&mut timing, Timing::Keep)?;
        } else {
            let (unit_ms, absolute) = match () {
                () if is("EX") => (1_000, false),
                () if is("PX") => (1, false),
                () if is("EXAT") => (1_000, true),
                () if is("PXAT") => (1, true),
                () => return Err(Wrong::Syntax),
            };
            choose(&mut timing, Timing::Number { unit_ms, absolute })?;
            // Redis reads the number only after all options were in order.
            request.argument(index)?;
            number_at = index;
            index += 1;
        }
    }
    let expiry = match timing {
        None => Expiry::Never,
        Some(Timing::Keep) => Expiry::Keep,
        Some(Timing::Number { unit_ms, absolute }) => {
            let number = request.integer(number_at)?;
            positive_expiry(number, unit_ms, absolute).ok_or(Wrong::ExpireTime("set"))?
        }
    };
    let key = request.owned(1)?;
    let value = request.owned(2)?;
    let when = when.unwrap_or_default();
    let command = Command::Set { key, value, when, expiry, previous };
    Ok(Action::Write(command, if previous { Shape::Value } else { Shape::Status }))
}

/// An option of `SET` about expiry.
#[derive(PartialEq, Eq)]
enum Timing {
    Keep,
    Number { unit_ms: i64, absolute: bool },
}

/// Options of one kind exclude each other; the same one may come again.
fn choose<T: PartialEq>(option: &mut Option<T>, choice: T) -> Result<(), Wrong> {
    match option {
        Some(earlier) if *earlier != choice => Err(Wrong::Syntax),
        _ => {
            *option = Some(choice);
            Ok(())
        }
    }
}

/// An expiry that must lie ahead of the epoch, or of now.
fn positive_expiry(number: i64, unit_ms: i64, absolute: bool) -> Option<Expiry> {
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms > 0)?;
    expiry(ms, absolute)
}

/// `None`: the time cannot be said in 64 bits.
fn expiry(ms: i64, absolute: bool) -> Option<Expiry> {
    if absolute {
        // Whatever lies before the epoch has passed as well as the epoch.
        return Some(Expiry::At(u64::try_from(ms).unwrap_or(0)));
    }
    let now_ms = i64::try_from(kv::wall_clock().as_millis()).ok()?;
    now_ms.checked_add(ms)?;
    Some(u64::try_from(ms).map_or(Expiry::At(0), Expiry::After))
}

pub fn set_expiring<'a>(request: &'a Request, name: &'static str, unit_ms: i64) -> Parsed<'a> {
    let number = request.integer(2)?;
    let expiry = positive_expiry(number, unit_ms, false).ok_or(Wrong::ExpireTime(name))?;
    let command = Command::set(request.owned(1)?, request.owned(3)?).expiring(expiry);
    Ok(Action::Write(command, Shape::Status))
}

pub fn set_if_absent(request: &Request) -> Parsed<'_> {
    let command = Command::set(request.owned(1)?, request.owned(2)?).only(When::IfAbsent);
    Ok(Action::Write(command, Shape::Integer))
}

pub fn get_and_set(request: &Request) -> Parsed<'_> {
    let command = Command::get_and_set(request.owned(1)?, request.owned(2)?);
    Ok(Action::Write(command, Shape::Value))
}

pub fn get_and_delete(request: &Request) -> Parsed<'_> {
    Ok(Action::Write(Command::Take { key: request.owned(1)? }, Shape::Value))
}

pub fn append(request: &Request) -> Parsed<'_> {
    let command = Command::Append { key: request.owned(1)?, suffix: request.owned(2)? };
    Ok(Action::Write(command, Shape::Integer))
}

pub fn increment(request: &Request, by: i64) -> Parsed<'_> {
    Ok(Action::Write(Command::increment(request.owned(1)?, by), Shape::Integer))
}

pub fn increment_by(request: &Request) -> Parsed<'_> {
    increment(request, request.integer(2)?)
}

pub fn decrement_by(request: &Request) -> Parsed<'_> {
    let by = request.integer(2)?;
    let overflow = || Wrong::Other("decrement would overflow".to_owned());
    increment(request, by.checked_neg().ok_or_else(overflow)?)
}

pub fn delete(request: &Request) -> Parsed<'_> {
    Ok(Action::Delete(request.rest_owned(1).collect()))
}

pub fn set_many(request: &Request) -> Parsed<'_> {
    if request.len().is_multiple_of(2) {
        return Err(Wrong::Arity("mset".to_owned()));
    }
    let mut pairs = Vec::with_capacity(request.len() / 2);
    let mut arguments = request.rest_owned(1);
    while let (Some(key), Some(value)) = (arguments.next(), arguments.next()) {
        pairs.push((key, value));
    }
    Ok(Action::SetMany(pairs))
}

/// A time to live; one that is not positive removes the key.
pub fn expire<'a>(request: &'a Request, name: &'static str, unit_ms: i64) -> Parsed<'a> {
    expire_key(request, name, unit_ms, false)
}

pub fn expire_at(request: &Request) -> Parsed<'_> {
    expire_key(request, "expireat", 1_000, true)
}

fn expire_key<'a>(request: &'a Request, name: &'static str, unit_ms: i64, absolute: bool) -> Parsed<'a> {
    // Redis looks at the options first, and none of them is known here.
    if let Some(option) = request.get(3) {
        let option = String::from_utf8_lossy(option);
        return Err(Wrong::Other(format!("Unsupported option {option}")));
    }
    let ms = request.integer(2)?.checked_mul(unit_ms);
    let expiry = ms.and_then(|ms| expiry(ms, absolute)).ok_or(Wrong::ExpireTime(name))?;
    Ok(Action::Write(Command::Expire { key: request.owned(1)?, expiry }, Shape::Integer))
}

pub fn persist(request: &Request) -> Parsed<'_> {
    Ok(Action::Write(Command::Persist { key: request.owned(1)? }, Shape::Integer))
}
