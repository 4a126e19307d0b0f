//! The way of one call through the disk: counted, decided about, possibly stalled, and carried out.
//!
//! - The number, the trace and the numbered fault are one step under the lock; predicates and stalls run outside it;
//!   the effect is one step under the lock again. So calls of one thread happen in the order of their numbers.
//! - A power cut leaves a call's change in the cache, not durable, and does not make a barrier happen: which part of
//!   that reaches the disk is for [`SimDisk::crash`] to choose.

use std::io;
use std::path::PathBuf;

use super::call::{Call, Operation};
use super::disk::{SimDisk, power_cut};
use super::plan::{Broken, FaultKind, Plan, Predicate, Target};
use super::stall::Gate;
use super::state::State;
use crate::sync::Arc;

const EIO: i32 = 5;

/// A call that wants to be made.
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) path: PathBuf,
    pub(super) renamed_to: Option<PathBuf>,
    pub(super) target: Target,
}

/// How much of its work a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// What a failing one leaves behind.
    Failing,
}

/// A call that has been counted.
struct Admitted {
    call: Call,
    fault: Option<FaultKind>,
    predicates: Vec<Predicate>,
    gates: Vec<Arc<Gate>>,
}

impl SimDisk {
    /// Makes the call. `effect` does the work; with [`Extent::Failing`] it is only asked to if
    /// [`Operation::fails_in_part`].
    pub(super) fn perform<T>(
        &self,
        request: Request,
        effect: impl FnOnce(&mut State, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        let Admitted { call, fault, predicates, gates } = self.admit(&request)?;
        let ask = |predicate: &Predicate| (*predicate.lock())(&call);
        let fault = fault.or_else(|| predicates.iter().find_map(ask));
        gates.iter().for_each(|gate| gate.pass(&call));
        self.state().carry_out(request, fault, effect)
    }

    fn admit(&self, request: &Request) -> io::Result<Admitted> {
        let mut state = self.state();
        if !state.powered {
            return Err(power_cut());
        }
        let counted = request.operation.is_mutation() || !state.only_mutations;
        state.call_count += u64::from(counted);
        let call = Call {
            number: state.call_count,
            operation: request.operation,
            path: request.path.clone(),
            renamed_to: request.renamed_to.clone(),
        };
        let mut fault = None;
        if counted {
            state.trace.push(call.clone());
            fault = state.plan.armed.remove(&call.number);
        }
        let Plan { predicates, gates, .. } = &state.plan;
        Ok(Admitted { call, fault, predicates: predicates.clone(), gates: gates.clone() })
    }
}

impl State {
    fn carry_out<T>(
        &mut self,
        request: Request,
        fault: Option<FaultKind>,
        effect: impl FnOnce(&mut State, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.powered {
            return Err(power_cut());
        }
        let operation = request.operation;
        let broken = Broken { target: request.target, mutation: operation.is_mutation() };
        if fault == Some(FaultKind::ErrorForEver) {
            self.plan.broken.insert(broken.clone());
        }
        let fails = fault == Some(FaultKind::ErrorOnce) || self.plan.broken.contains(&broken);
        self.plan.full |= fault == Some(FaultKind::NoSpace);
        if fault == Some(FaultKind::Crash) {
            self.powered = false;
        }
        let done = match self.powered {
            true if !fails => Some(effect(self, Extent::Whole)),
            true if operation.fails_in_part() => Some(effect(self, Extent::Failing)),
            false if !fails && !operation.is_barrier() => Some(effect(self, Extent::Whole)),
            _ => None,
        };
        match done {
            _ if !self.powered => Err(power_cut()),
            Some(done) if !fails && fault != Some(FaultKind::ErrorAfterEffect) => done,
            Some(Err(error)) if !fails => Err(error),
            _ => Err(io::Error::from_raw_os_error(EIO)),
        }
    }
}
