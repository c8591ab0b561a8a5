//! Phases in an order in which nobody means them to come.

use crate::protocol::Phase::{self, Cancel, Confirm, Try};
use crate::testing::participant_suite::ParticipantSuite;
use crate::testing::participant_suite::stage::{Ask, Stage};
use crate::testing::promise::Broken;

/// The try was lost on its way.
pub(crate) async fn a_cancel_without_its_try_is_done(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    orders(s, Ask::Request(0), &[&[Cancel]]).await
}

/// PEERS 14: the try was late, and its branch is over.
pub(crate) async fn a_late_try_is_an_error(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    orders(
        s,
        Ask::Request(0),
        &[&[Cancel, Try, Try], &[Try, Cancel, Try], &[Try, Try, Cancel, Try, Cancel, Try]],
    )
    .await
}

/// Two decisions: the store has lost one. What was given back is not taken.
pub(crate) async fn a_confirm_after_cancel_is_refused(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.tries || !s.traits.cancels || !s.traits.confirms {
        return Ok(());
    }
    orders(s, Ask::Request(0), &[&[Try, Cancel, Confirm, Confirm], &[Cancel, Confirm]]).await
}

/// The other way round: what was taken is not given back.
pub(crate) async fn a_cancel_after_confirm_is_refused(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.tries || !s.traits.cancels || !s.traits.confirms {
        return Ok(());
    }
    orders(s, Ask::Request(0), &[&[Try, Confirm, Cancel, Cancel]]).await
}

/// Her database has lost what the try put aside.
pub(crate) async fn a_confirm_without_its_try_is_refused(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.tries || !s.traits.confirms {
        return Ok(());
    }
    orders(s, Ask::Request(0), &[&[Confirm, Confirm], &[Confirm, Try, Confirm]]).await
}

/// Nobody knows that it was refused: the answer was lost, or a repeat may have succeeded.
pub(crate) async fn a_refused_try_is_cancelled_all_the_same(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels || !Stage::open(s).await?.refuses() {
        return Ok(());
    }
    orders(s, Ask::Refused, &[&[Try, Cancel, Cancel], &[Try, Try, Cancel, Try]]).await
}

/// All of them, of [`CALLS`](super::super::ParticipantFixture::CALLS) calls.
pub(crate) async fn every_order_of_phases_keeps_the_promises(s: &ParticipantSuite) -> Result<(), Broken> {
    let traits = s.traits;
    let own = [(Try, traits.tries), (Confirm, traits.confirms), (Cancel, traits.cancels)];
    let own: Vec<Phase> = own.into_iter().filter_map(|(phase, has)| has.then_some(phase)).collect();
    let refuses = Stage::open(s).await?.refuses();
    let asks = if refuses { &[Ask::Request(0), Ask::Refused][..] } else { &[Ask::Request(0)] };
    let count = own.len().pow(u32::try_from(traits.calls).unwrap_or(u32::MAX));
    for ask in asks {
        for number in 0..count {
            // The digits of the number, in the system with so many digits as there are phases.
            let digits = (0..traits.calls).scan(number, |rest, _| {
                let digit = *rest % own.len();
                *rest /= own.len();
                Some(own[digit])
            });
            orders(s, *ask, &[&digits.collect::<Vec<_>>()]).await?;
        }
    }
    Ok(())
}

/// Makes these calls of one branch, each order in a fresh service.
async fn orders(s: &ParticipantSuite, ask: Ask, orders: &[&[Phase]]) -> Result<(), Broken> {
    for phases in orders {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(ask)?;
        stage.steps(&mut branch, phases).await?;
    }
    Ok(())
}
