//! The shop of one scenario: empty databases, and a group of its own in the store.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shop::{Audit, Participants, Shop};
use tcc_core::protocol::Group;
use tcc_core::store::StatusStore;
use tcc_core::testing::{CallFaults, FaultParticipant};
use tcc_core::{Backoff, Coordinator};

use super::scenario::Surprise;
use crate::store::Address;

/// The longest that is waited for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Where all scenarios of a run are played.
pub(super) struct Place {
    /// A new folder: its name is unique, and so are the groups' that are named after it.
    pub(super) folder: PathBuf,
    pub(super) store: Arc<dyn StatusStore>,
    pub(super) address: Address,
}

/// The shop of one scenario.
pub(super) struct Stage {
    /// Of its databases.
    pub(super) folder: PathBuf,
    pub(super) group: String,
    pub(super) address: Address,
    store: Arc<dyn StatusStore>,
    participants: Participants,
    opened: Mutex<Vec<Coordinator>>,
}

/// The time limits of a coordinator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of a transaction: then it is cancelled.
    pub(super) deadline: Duration,
    /// Of one call: then its answer counts as unknown.
    pub(super) call: Duration,
}

/// Nothing is to run out of time.
pub(super) const CALM: Limits = Limits { deadline: Duration::from_secs(20), call: Duration::from_secs(10) };

/// For how long the work of a killed process waits.
const LEASE: Duration = Duration::from_millis(500);

impl Stage {
    pub(super) async fn set(place: &Place, scenario: &str) -> Result<Self, Surprise> {
        let run = place.folder.file_name().unwrap_or_default().to_string_lossy();
        let (folder, group) = (place.folder.join(scenario), format!("{run}-{scenario}"));
        Self::open(folder, group, place.address.clone(), place.store.clone()).await
    }

    /// A stage that is set already, perhaps by another process.
    pub(super) async fn open(
        folder: PathBuf,
        group: String,
        address: Address,
        store: Arc<dyn StatusStore>,
    ) -> Result<Self, Surprise> {
        let participants = Participants::open(&folder).await?;
        Ok(Self { folder, group, address, store, participants, opened: Mutex::default() })
    }

    /// Opens the shop: starts a coordinator, whose calls of all five services meet these faults.
    pub(super) async fn shop(&self, limits: Limits, faults: &CallFaults) -> Result<Shop, Surprise> {
        let Participants { orders, inventory, wallet, coupons, mail } = self.participants.clone();
        let tcc = Coordinator::builder(&self.group, self.store.clone())
            .register(FaultParticipant::with(orders, faults.clone()))
            .register(FaultParticipant::with(inventory, faults.clone()))
            .register(FaultParticipant::with(wallet, faults.clone()))
            .register(FaultParticipant::with(coupons, faults.clone()))
            .register(FaultParticipant::with(mail, faults.clone()))
            .timeout(limits.deadline)
            .call_timeout(limits.call)
            .lease(LEASE)
            // Quicker than by default: it is watched.
            .backoff(Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(500) })
            .start()
            .await?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(tcc.clone());
        Ok(Shop::new(tcc))
    }

    /// The shop without faults and without hurry.
    pub(super) async fn calm_shop(&self) -> Result<Shop, Surprise> {
        self.shop(CALM, &CallFaults::default()).await
    }

    /// Waits until every transaction is settled.
    pub(super) async fn settled(&self) -> Result<(), Surprise> {
        let group = Group::new(self.group.clone())?;
        let settled = async {
            loop {
                let stats = self.store.stats(&group).await?;
                if stats.kept > 0 {
                    return Err("a participant refused what was decided: a transaction is heuristic".into());
                }
                if stats.unfinished == 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, settled).await {
            Ok(settled) => settled,
            Err(_) => Err(format!("a transaction was not settled within {PATIENCE:?}").into()),
        }
    }

    /// Waits until every transaction is settled, and closes the shop.
    pub(super) async fn quiet(&self) -> Result<(), Surprise> {
        self.settled().await?;
        let opened = std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        for tcc in opened {
            tcc.shutdown().await;
        }
        Ok(())
    }

    pub(super) async fn audit(&self) -> Result<Audit, Surprise> {
        Ok(Audit::of(&self.folder).await?)
    }
}
