//! Defects that reviews found, each held by the test that showed it.

#[allow(dead_code, reason = "shared with the coordinator's tests, which use all of it")]
#[path = "../coordinator/rig.rs"]
mod rig;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use rig::*;
use tcc_core::protocol::{
    ActionName, Begin, BranchId, Change, Enlisted, Entry, Group, Json, Log, Name, Op, Owner, Position, TxId,
};
use tcc_core::store::{
    Append, Claim as ClaimReq, Claimed, Due, MemoryStore, Mode, Page, Query, Readiness, Stats, StatusStore,
    StoreError,
};
use tcc_core::*;

mod bounds;
mod keys;
mod polling;
mod renewal;
mod slow;

use slow::*;

/// The error of a body whose branches never refuse.
#[derive(Debug, thiserror::Error)]
enum Unrefused {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}
