//! What a fixture may do behind its store's back, so that more can be held to the contract.
//!
//! Each hook is a trait of its own, and brings the cases that need it: a fixture without a hook has no test of those
//! names, and none that passes because nothing happened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::suite::StoreFixture;
use crate::protocol::{Group, TxId};
use crate::store::Append;

/// Damages logs, as a broken disk or a stranger's hand would.
#[async_trait]
pub trait Damage: Send + Sync {
    /// Makes what the store keeps of this log unreadable, and leaves when it is due. The log exists.
    async fn damage(&self, group: &Group, id: TxId);

    /// Takes the damage back, and changes nothing else: what the store has done to the log meanwhile must show.
    async fn mend(&self, group: &Group, id: TxId);
}

/// Sets the store's clock ahead, as when a machine was asleep or its clock was wrong.
#[async_trait]
pub trait ClockAhead: Send + Sync {
    /// Sets the clock that the store goes by ahead, for all its handles.
    async fn set_ahead(&self, by: Duration);
}

/// Sets the store's clock back. A store on a clock that can't be set back (a monotonic one) needs no such hook.
#[async_trait]
pub trait ClockBack: Send + Sync {
    /// Sets the clock that the store goes by back, for all its handles.
    async fn set_back(&self, by: Duration);
}

/// Tells what calls cost, when the store holds very many logs.
#[async_trait]
pub trait Metered: Send + Sync {
    /// How many logs *very many* are: a million, unless that takes your store too long.
    fn very_many(&self) -> usize {
        1_000_000
    }

    /// What the store has done since it was started, in a unit that grows with its work: microseconds, pages read,
    /// steps of a virtual machine. What is measured is the difference between two answers.
    async fn work(&self) -> u64;

    /// Puts these first entries into the store, faster than `append_all` would, and says whether it did. Default: there
    /// is no faster way.
    async fn fill(&self, begins: &[Append]) -> bool {
        let _ = begins;
        false
    }
}

/// Which hook a [`Case`](super::Case) needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hook {
    /// [`Damage`].
    Damage,
    /// [`ClockAhead`].
    ClockAhead,
    /// [`ClockBack`].
    ClockBack,
    /// [`Metered`].
    Metered,
}

/// A fixture, as one of its hooks.
type As<F, H> = fn(Arc<F>) -> Arc<H>;

/// The hooks that a fixture has.
pub struct Hooks<F> {
    damage: Option<As<F, dyn Damage>>,
    clock_ahead: Option<As<F, dyn ClockAhead>>,
    clock_back: Option<As<F, dyn ClockBack>>,
    metered: Option<As<F, dyn Metered>>,
}

impl<F: StoreFixture> Hooks<F> {
    /// None of them.
    #[must_use]
    pub const fn none() -> Self {
        Self { damage: None, clock_ahead: None, clock_back: None, metered: None }
    }

    /// With [`Damage`].
    #[must_use]
    pub fn damage(self) -> Self
    where
        F: Damage,
    {
        Self { damage: Some(|fixture| fixture), ..self }
    }

    /// With [`ClockAhead`].
    #[must_use]
    pub fn clock_ahead(self) -> Self
    where
        F: ClockAhead,
    {
        Self { clock_ahead: Some(|fixture| fixture), ..self }
    }

    /// With [`ClockBack`].
    #[must_use]
    pub fn clock_back(self) -> Self
    where
        F: ClockBack,
    {
        Self { clock_back: Some(|fixture| fixture), ..self }
    }

    /// With [`Metered`].
    #[must_use]
    pub fn metered(self) -> Self
    where
        F: Metered,
    {
        Self { metered: Some(|fixture| fixture), ..self }
    }

    /// Those of one fixture.
    pub(super) fn of(&self, fixture: &Arc<F>) -> Given {
        let fixture = || Arc::clone(fixture);
        Given {
            damage: self.damage.map(|hook| hook(fixture())),
            clock_ahead: self.clock_ahead.map(|hook| hook(fixture())),
            clock_back: self.clock_back.map(|hook| hook(fixture())),
            metered: self.metered.map(|hook| hook(fixture())),
        }
    }
}

impl<F> fmt::Debug for Hooks<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("damage", &self.damage.is_some())
            .field("clock_ahead", &self.clock_ahead.is_some())
            .field("clock_back", &self.clock_back.is_some())
            .field("metered", &self.metered.is_some())
            .finish()
    }
}

/// The hooks of a suite's fixture.
pub(super) struct Given {
    pub(super) damage: Option<Arc<dyn Damage>>,
    pub(super) clock_ahead: Option<Arc<dyn ClockAhead>>,
    pub(super) clock_back: Option<Arc<dyn ClockBack>>,
    pub(super) metered: Option<Arc<dyn Metered>>,
}

impl Given {
    pub(super) fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::Damage => self.damage.is_some(),
            Hook::ClockAhead => self.clock_ahead.is_some(),
            Hook::ClockBack => self.clock_back.is_some(),
            Hook::Metered => self.metered.is_some(),
        }
    }
}
