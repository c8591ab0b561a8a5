//! The scenarios: what is done, and what must come of it.

use std::time::Duration;

use shop::{Cents, CheckoutError, Order, RefundError, TILL};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tcc_core::protocol::Phase;
use tcc_core::testing::{CallFault, CallFaults, CallRule};
use tcc_core::{BranchError, Delivered, TransactionError};

use super::killed;
use super::stage::{CALM, Limits, Stage};

/// What happens to ann and bob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Bought,
    OutOfStock,
    WalletRefuses,
    CouponRefuses,
    PaymentUnknown,
    CancelBeforeTry,
    TryAfterCancel,
    Duplicates,
    ConfirmFails,
    Panics,
    HangsUp,
    KilledDecided,
    KilledTrying,
    Refund,
    /// Not a part of the demo: it shows that the audit sees what is wrong.
    MissingCent,
}

/// How a scenario ended, if it ended as described.
pub(super) struct Told {
    pub(super) what: String,
    /// How many orders are paid then.
    pub(super) paid: u64,
    /// How many were paid and given back.
    pub(super) refunded: u64,
}

/// Something went otherwise than described.
pub(super) type Surprise = Box<dyn std::error::Error + Send + Sync>;

type Played = Result<Told, Surprise>;

/// The time limit where an answer is not to come. All others have to come within it, on a busy machine too.
const SHORT: Duration = Duration::from_millis(1500);

/// Says what went otherwise.
macro_rules! ensure {
    ($expected:expr, $($what:tt)+) => {
        if !$expected {
            return Err(format!($($what)+).into());
        }
    };
}
pub(super) use ensure;

impl Scenario {
    /// What the demo plays.
    pub(crate) const ALL: [Self; 14] = [
        Self::Bought,
        Self::OutOfStock,
        Self::WalletRefuses,
        Self::CouponRefuses,
        Self::PaymentUnknown,
        Self::CancelBeforeTry,
        Self::TryAfterCancel,
        Self::Duplicates,
        Self::ConfirmFails,
        Self::Panics,
        Self::HangsUp,
        Self::KilledDecided,
        Self::KilledTrying,
        Self::Refund,
    ];

    /// By which it is named on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bought => "bought",
            Self::OutOfStock => "out-of-stock",
            Self::WalletRefuses => "wallet-refuses",
            Self::CouponRefuses => "coupon-refuses",
            Self::PaymentUnknown => "payment-unknown",
            Self::CancelBeforeTry => "cancel-before-try",
            Self::TryAfterCancel => "try-after-cancel",
            Self::Duplicates => "duplicates",
            Self::ConfirmFails => "confirm-fails",
            Self::Panics => "panics",
            Self::HangsUp => "hangs-up",
            Self::KilledDecided => "killed-decided",
            Self::KilledTrying => "killed-trying",
            Self::Refund => "refund",
            Self::MissingCent => "missing-cent",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bought => "bought",
            Self::OutOfStock => "out of stock",
            Self::WalletRefuses => "wallet refuses",
            Self::CouponRefuses => "coupon refuses",
            Self::PaymentUnknown => "payment unknown",
            Self::CancelBeforeTry => "cancel before its try",
            Self::TryAfterCancel => "try after its cancel",
            Self::Duplicates => "duplicate calls",
            Self::ConfirmFails => "confirm fails 3 times",
            Self::Panics => "handler panics",
            Self::HangsUp => "caller hangs up",
            Self::KilledDecided => "killed after deciding",
            Self::KilledTrying => "killed while trying",
            Self::Refund => "refund",
            Self::MissingCent => "not played by default: somebody takes a cent, and the audit must see it",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::MissingCent]).find(|scenario| scenario.name() == name)
    }

    /// Whether another process must be able to go on with it.
    pub(super) fn needs_shared_store(self) -> bool {
        matches!(self, Self::KilledDecided | Self::KilledTrying)
    }

    pub(super) async fn play(self, stage: &Stage) -> Played {
        match self {
            Self::Bought => bought(stage).await,
            Self::OutOfStock => out_of_stock(stage).await,
            Self::WalletRefuses => wallet_refuses(stage).await,
            Self::CouponRefuses => coupon_refuses(stage).await,
            Self::PaymentUnknown => payment_unknown(stage).await,
            Self::CancelBeforeTry => cancel_before_try(stage).await,
            Self::TryAfterCancel => try_after_cancel(stage).await,
            Self::Duplicates => duplicates(stage).await,
            Self::ConfirmFails => confirm_fails(stage).await,
            Self::Panics => panics(stage).await,
            Self::HangsUp => hangs_up(stage).await,
            Self::KilledDecided => killed::after_deciding(stage).await,
            Self::KilledTrying => killed::while_trying(stage).await,
            Self::Refund => refund(stage).await,
            Self::MissingCent => missing_cent(stage).await,
        }
    }
}

impl Told {
    /// A story at whose end so many orders are paid.
    pub(super) fn paid(paid: u64, what: impl Into<String>) -> Played {
        Ok(Self { what: what.into(), paid, refunded: 0 })
    }
}

fn teapots(pieces: u32) -> Order {
    Order::new("order-1", "ann", "teapot", pieces).with_coupon("WELCOME")
}

fn faults(rules: impl IntoIterator<Item = CallRule>) -> CallFaults {
    let faults = CallFaults::default();
    rules.into_iter().for_each(|rule| faults.add(rule));
    faults
}

/// A fault in the try of the payment.
fn freezing(fault: CallFault) -> CallFaults {
    faults([CallRule::new(fault).of("wallet.freeze").on(Phase::Try)])
}

async fn bought(stage: &Stage) -> Played {
    let receipt = stage.calm_shop().await?.checkout(teapots(2)).await?;
    ensure!(receipt.total == Cents(3480), "it cost {}", receipt.total);
    Told::paid(1, "ann buys 2 teapots with her coupon for 34.80: shipped, paid, her receipt is sent.")
}

async fn out_of_stock(stage: &Stage) -> Played {
    let refused = stage.calm_shop().await?.checkout(teapots(11)).await;
    let Err(CheckoutError::Stock(BranchError::Refused(why))) = refused else {
        return Err(format!("the inventory did not refuse: {refused:?}").into());
    };
    Told::paid(0, format!("ann wants 11 teapots. Inventory refuses: {why}. Her coupon is free again."))
}

async fn wallet_refuses(stage: &Stage) -> Played {
    let lamps = Order::new("order-1", "bob", "lamp", 2).with_coupon("WELCOME");
    let refused = stage.calm_shop().await?.checkout(lamps).await;
    let Err(CheckoutError::Payment(BranchError::Refused(why))) = refused else {
        return Err(format!("the wallet did not refuse: {refused:?}").into());
    };
    Told::paid(
        0,
        format!("bob wants 2 lamps for 235.00. Wallet refuses: {why}. Lamps and coupon are released."),
    )
}

async fn coupon_refuses(stage: &Stage) -> Played {
    let shop = stage.calm_shop().await?;
    shop.checkout(teapots(1)).await?;
    let again = Order { id: "order-2".into(), ..teapots(1) };
    let receipt = shop.checkout(again).await?;
    ensure!(receipt.coupon.is_none(), "the coupon was used twice");
    let total = receipt.total;
    Told::paid(
        2,
        format!(
            "ann uses her coupon twice. The second time it is refused; she buys without it, for {total}."
        ),
    )
}

async fn payment_unknown(stage: &Stage) -> Played {
    let faults = freezing(CallFault::AnswerLost);
    let shop = stage.shop(Limits { deadline: SHORT, ..CALM }, &faults).await?;
    let unknown = shop.checkout(teapots(1)).await;
    ensure!(
        matches!(
            unknown,
            Err(CheckoutError::Payment(BranchError::Unknown(_))
                | CheckoutError::Transaction(TransactionError::TimedOut { .. }))
        ),
        "the payment was not unknown: {unknown:?}"
    );
    ensure!(faults.struck().len() == 1, "no answer was lost");
    Told::paid(
        0,
        "The money is frozen, but the wallet's answer is lost. At the deadline everything is released.",
    )
}

async fn cancel_before_try(stage: &Stage) -> Played {
    let faults = freezing(CallFault::Lost);
    let shop = stage.shop(Limits { call: SHORT, ..CALM }, &faults).await?;
    let lost = shop.checkout(teapots(1)).await;
    ensure!(
        matches!(lost, Err(CheckoutError::Payment(BranchError::Unknown(_)))),
        "the payment was not unknown: {lost:?}"
    );
    ensure!(faults.struck().len() == 1, "no call was lost");
    Told::paid(
        0,
        "The wallet's try is lost on its way, so its cancel comes alone: it undoes nothing, and leaves a mark.",
    )
}

async fn try_after_cancel(stage: &Stage) -> Played {
    let faults = freezing(CallFault::AfterCancel);
    let shop = stage.shop(Limits { call: SHORT, ..CALM }, &faults).await?;
    let overtaken = shop.checkout(teapots(1)).await;
    ensure!(
        matches!(overtaken, Err(CheckoutError::Payment(BranchError::Unknown(_)))),
        "the payment was not unknown: {overtaken:?}"
    );
    faults.until_late(1).await;
    let answer = &faults.late()[0].answer;
    ensure!(*answer == Delivered::TooLate, "the late try was answered: {answer}");
    Told::paid(
        0,
        "The wallet's try is overtaken by its cancel. When it comes at last it freezes nothing: too late.",
    )
}

async fn duplicates(stage: &Stage) -> Played {
    let faults = faults([CallRule::new(CallFault::Repeats(3)).always()]);
    let shop = stage.shop(CALM, &faults).await?;
    let (one, two, three) =
        tokio::try_join!(shop.checkout(teapots(2)), shop.checkout(teapots(2)), shop.checkout(teapots(2)))?;
    ensure!(one == two && two == three, "they have different receipts: {one:?}, {two:?}, {three:?}");
    ensure!(faults.struck().len() >= 4, "nothing was repeated");
    Told::paid(1, "ann sends her order 3 times at once, and the network every call 3 times: bought once.")
}

async fn confirm_fails(stage: &Stage) -> Played {
    let faults = faults([CallRule::new(CallFault::Fails).of("wallet.freeze").on(Phase::Confirm).times(3)]);
    stage.shop(CALM, &faults).await?.checkout(teapots(1)).await?;
    stage.settled().await?;
    ensure!(faults.struck().len() == 3, "it failed {} times", faults.struck().len());
    Told::paid(
        1,
        "It is decided that ann buys. The wallet fails to take the money 3 times; the 4th time it does.",
    )
}

async fn panics(stage: &Stage) -> Played {
    let rule = |action, phase| CallRule::new(CallFault::Panics).of(action).on(phase);
    let faults = faults([rule("wallet.freeze", Phase::Try), rule("inventory.reserve", Phase::Confirm)]);
    let shop = stage.shop(CALM, &faults).await?;
    let panicked = shop.checkout(teapots(1)).await;
    ensure!(
        matches!(panicked, Err(CheckoutError::Payment(BranchError::Unknown(_)))),
        "the payment was not unknown: {panicked:?}"
    );
    shop.checkout(Order { id: "order-2".into(), ..teapots(1) }).await?;
    stage.settled().await?;
    ensure!(faults.struck().len() == 2, "{} handlers panicked", faults.struck().len());
    Told::paid(
        1,
        "A try panics: ann's order is cancelled. In her next one a confirm panics: it is called again.",
    )
}

async fn hangs_up(stage: &Stage) -> Played {
    let faults = freezing(CallFault::Hangs);
    let shop = stage.shop(CALM, &faults).await?;
    tokio::select! {
        done = shop.checkout(teapots(1)) => return Err(format!("it ended by itself: {done:?}").into()),
        // Her future is dropped in the middle of the payment.
        () = faults.until_struck(1) => {}
    }
    Told::paid(
        0,
        "ann hangs up while her money is being frozen: her order is cancelled, everything is released.",
    )
}

async fn refund(stage: &Stage) -> Played {
    let shop = stage.calm_shop().await?;
    shop.checkout(teapots(2)).await?;
    stage.settled().await?;
    let amount = shop.refund("order-1".into()).await?.amount;
    stage.settled().await?;
    let again = shop.refund("order-1".into()).await;
    ensure!(
        matches!(again, Err(RefundError::Order(BranchError::Refused(_)))),
        "the second refund was not refused: {again:?}"
    );
    let what =
        format!("ann gives 2 teapots back and gets her {amount}. The second time she asks, it is refused.");
    Ok(Told { what, paid: 0, refunded: 1 })
}

async fn missing_cent(stage: &Stage) -> Played {
    stage.calm_shop().await?.checkout(teapots(1)).await?;
    stage.settled().await?;
    let mut wallet = SqliteConnectOptions::new().filename(stage.folder.join("wallet.db")).connect().await?;
    sqlx::query("UPDATE accounts SET balance = balance - 1 WHERE owner = ?")
        .bind(TILL)
        .execute(&mut wallet)
        .await?;
    Told::paid(1, "ann buys a teapot; then somebody takes a cent out of the till.")
}
