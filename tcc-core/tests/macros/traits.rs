//! `#[participant]` on a trait: the client needs no service, and the service is whatever implements it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::BranchKey;
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, Participant, Registry, Service, Settled,
    TransactionError, Tried, participant, refuse,
};

/// What a client links against: the trait, its payloads, and nothing that implements it.
mod wallet {
    use super::*;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct Freeze {
        pub cents: u64,
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct Frozen {
        pub cents: u64,
        pub at: u64,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub enum WalletError {
        Poor,
    }

    impl fmt::Display for WalletError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    pub trait Clock {
        fn now(&self) -> u64;
    }

    type Answer = Tried<Frozen, WalletError>;

    /// Money of customers.
    #[participant("wallet")]
    pub trait Wallet: Clock + Send
    where
        Self: Sized,
    {
        const LIMIT: u64;
        /// It is nobody's business but the implementor's.
        type Connection;

        /// Puts money aside.
        #[action(confirm = settle, cancel = refund, timeout = "2s", tries = 3)]
        async fn freeze(&self, cx: &Branch, req: Freeze) -> Tried<Frozen, WalletError>;

        async fn settle(&self, cx: &Branch, req: Freeze, frozen: Frozen) -> Settled;

        /// A default: what is not said is given back.
        async fn refund(&self, cx: &Branch, mut req: Freeze, frozen: Option<Frozen>) -> Settled {
            req.cents = req.cents.min(frozen.map_or(0, |frozen| frozen.cents));
            self.give_back(cx.key(), req.cents)?;
            Ok(())
        }

        /// A step of a saga, in an alias, with a default.
        #[action(cancel = none, rename = "peek", version = 2)]
        async fn look(&self, _: &Branch, (cents, _): (u64, String)) -> Answer {
            if cents > Self::LIMIT {
                return refuse(WalletError::Poor);
            }
            tokio::task::yield_now().await;
            Ok(Frozen { cents, at: self.now() })
        }

        #[action(cancel = none, rename = "peek")]
        async fn look_v1(&self, cx: &Branch, cents: u64) -> Tried<Frozen, WalletError> {
            self.look(cx, (cents, String::new())).await
        }

        #[on_confirm]
        async fn statement(&self, cx: &Branch, to: String) -> Settled;

        #[on_confirm]
        #[cfg(not(test))]
        async fn absent(&self, cx: &Branch, to: Absent) -> Settled;

        // Plain ones.
        fn give_back(&self, key: BranchKey, cents: u64) -> std::io::Result<()>;
        fn connection(&self) -> Option<Self::Connection> {
            None
        }
    }
}

use wallet::{Clock, Freeze, Frozen, Wallet, WalletClient, WalletError, WalletFreeze};

type Done = Arc<Mutex<Vec<String>>>;

/// One of its services, with parameters of its own.
struct PgWallet<C> {
    clock: C,
    done: Done,
}

impl<C: Fn() -> u64> Clock for PgWallet<C> {
    fn now(&self) -> u64 {
        (self.clock)()
    }
}

impl<C> PgWallet<C> {
    fn note(&self, what: impl fmt::Debug) {
        self.done.lock().unwrap().push(format!("{what:?}"));
    }
}

impl<C> Wallet for PgWallet<C>
where
    C: Fn() -> u64 + Send + Sync + 'static,
{
    const LIMIT: u64 = 100;
    type Connection = ();

    async fn freeze(&self, _: &Branch, req: Freeze) -> Tried<Frozen, WalletError> {
        tokio::task::yield_now().await;
        if req.cents > Self::LIMIT {
            return refuse(WalletError::Poor);
        }
        Ok(Frozen { cents: req.cents, at: self.now() })
    }

    async fn settle(&self, cx: &Branch, _: Freeze, frozen: Frozen) -> Settled {
        self.note((cx.phase(), frozen.cents, frozen.at));
        Ok(())
    }

    async fn statement(&self, cx: &Branch, to: String) -> Settled {
        self.note((cx.phase(), to));
        Ok(())
    }

    fn give_back(&self, _: BranchKey, cents: u64) -> std::io::Result<()> {
        self.note(("given back", cents));
        Ok(())
    }
}

#[derive(Debug)]
#[allow(dead_code)] // what is in them is only shown when a test fails
enum Failed {
    Branch(Option<WalletError>),
    Transaction(TransactionError),
}

impl From<TransactionError> for Failed {
    fn from(error: TransactionError) -> Self {
        Self::Transaction(error)
    }
}

impl From<BranchError<WalletError>> for Failed {
    fn from(error: BranchError<WalletError>) -> Self {
        match error {
            BranchError::Refused(error) => Self::Branch(Some(error)),
            _ => Self::Branch(None),
        }
    }
}

impl From<BranchError<Never>> for Failed {
    fn from(_: BranchError<Never>) -> Self {
        Self::Branch(None)
    }
}

/// What a client does: it knows the trait and its payloads only. The future is `Send`.
async fn pay(tcc: Coordinator, cents: u64) -> Result<u64, Failed> {
    let paid = async move {
        tcc.run("pay", async |tx| {
            let wallet = tx.on::<WalletClient>();
            let (one, two) =
                tokio::try_join!(wallet.freeze(Freeze { cents: 1 }), wallet.freeze(Freeze { cents }))?;
            wallet.look((cents, String::new())).await?;
            wallet.look_v1(cents).await?;
            tx.on::<WalletClient>().statement("ann".to_owned()).await?;
            Ok(one.at + two.at)
        })
        .await
    };
    tokio::spawn(paid).await.unwrap()
}

#[tokio::test]
async fn a_trait_is_served_by_what_implements_it() {
    let done = Done::default();
    let service = PgWallet { clock: || 7, done: done.clone() };
    let tcc = Coordinator::builder("shop", MemoryStore::default())
        .register(WalletClient::serve(service))
        .start()
        .await
        .unwrap();

    assert_eq!(pay(tcc.clone(), 5).await.unwrap(), 14);
    let mut seen = std::mem::take(&mut *done.lock().unwrap());
    seen.sort();
    assert_eq!(seen, [r#"(Confirm, "ann")"#, "(Confirm, 1, 7)", "(Confirm, 5, 7)"]);

    let refused = pay(tcc.clone(), 101).await;
    assert!(matches!(refused, Err(Failed::Branch(Some(WalletError::Poor)))), "{refused:?}");
    tcc.shutdown().await;
    let mut seen = std::mem::take(&mut *done.lock().unwrap());
    seen.sort();
    // The default of the trait, of a try that was refused, and of one whose answer the log may have or not.
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.contains(&r#"("given back", 0)"#.to_owned()), "{seen:?}");
}

#[tokio::test]
async fn an_arc_of_a_service_serves_too() {
    let done = Done::default();
    let service = Arc::new(PgWallet { clock: || 3, done: done.clone() });
    // What serves it may be shared as well.
    let served = Arc::new(WalletClient::serve(service.clone()));
    let tcc = Coordinator::builder("shop", MemoryStore::default()).register(served).start().await.unwrap();
    assert_eq!(pay(tcc.clone(), 5).await.unwrap(), 6);
    assert_eq!(done.lock().unwrap().len(), 3);
    // A plain method of the trait, and its default.
    assert!(service.connection().is_none());

    /// Where the service is not known either.
    fn registered<W: Wallet>(wallet: W) -> Registry {
        let mut registry = Registry::default();
        Arc::new(WalletClient::serve(wallet)).register(&mut registry);
        registry
    }
    let registry = registered(PgWallet { clock: || 3, done });
    assert_eq!((registry.errors(), registry.actions().count()), (&[][..], 4));
}

#[test]
fn the_types_of_a_trait_say_what_is_persisted() {
    assert_eq!(<WalletClient as Participant>::NAME, "wallet");
    assert_eq!((WalletFreeze::NAME, WalletFreeze::VERSION), ("wallet.freeze", 1));
    assert_eq!((WalletFreeze::TIMEOUT, WalletFreeze::TRIES), (Some(Duration::from_secs(2)), 3));
    assert_eq!((wallet::WalletLook::NAME, wallet::WalletLook::VERSION), ("wallet.peek", 2));
    assert_eq!((wallet::WalletLookV1::NAME, wallet::WalletLookV1::VERSION), ("wallet.peek", 1));
    assert_eq!(wallet::WalletLook::TRIES, 1);
    assert_eq!(
        (wallet::WalletStatement::NAME, wallet::WalletStatement::ON_CONFIRM),
        ("wallet.statement", true)
    );
}

/// A test puts a fake behind the trait's client, by the types alone.
#[tokio::test]
async fn a_traits_action_can_be_faked() {
    struct Rich;
    impl Handler<WalletFreeze> for Rich {
        async fn r#try(&self, _: &Branch, request: Freeze) -> Tried<Frozen, WalletError> {
            Ok(Frozen { cents: request.cents, at: 0 })
        }
        async fn confirm(&self, _: &Branch, _: Freeze, _: Frozen) -> Settled {
            Ok(())
        }
        async fn cancel(&self, _: &Branch, _: Freeze, _: Option<Frozen>) -> Settled {
            Ok(())
        }
    }
    impl Service for Rich {
        fn register(self: Arc<Self>, registry: &mut Registry) {
            registry.add::<WalletFreeze, _>(self);
        }
    }
    let tcc = Coordinator::builder("shop", MemoryStore::default()).register(Rich).start().await.unwrap();
    let frozen = tcc.run("pay", async |tx| {
        Ok::<_, Failed>(tx.on::<WalletClient>().freeze(Freeze { cents: 999 }).await?.cents)
    });
    assert_eq!(frozen.await.unwrap(), 999);
}

/// Flaky: its try fails so many times before it answers.
struct Flaky {
    fails: u32,
    tried: Mutex<Vec<u32>>,
}

#[participant("flaky")]
impl Flaky {
    #[action(cancel = none, tries = 3)]
    async fn ask(&self, cx: &Branch, _: ()) -> Tried<(), Never> {
        self.tried.lock().unwrap().push(cx.attempt());
        if cx.attempt() <= self.fails {
            return Err(std::io::Error::other("not yet").into());
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_is_asked_as_often_as_is_written() {
    for (fails, tried) in [(2, vec![1, 2, 3]), (3, vec![1, 2, 3])] {
        let flaky = Arc::new(Flaky { fails, tried: Mutex::default() });
        let builder = Coordinator::builder("shop", MemoryStore::default()).register(flaky.clone());
        let tcc = builder.start().await.unwrap();
        let asked = tcc.run("ask", async |tx| Ok::<_, Failed>(tx.on::<Flaky>().ask(()).await?)).await;
        assert_eq!(asked.is_ok(), fails < 3, "{asked:?}");
        assert_eq!(*flaky.tried.lock().unwrap(), tried);
    }
}

/// In a function, private, and of nothing but a message.
#[tokio::test]
async fn a_trait_may_stand_anywhere() {
    #[participant("bell")]
    trait Bell {
        #[on_confirm]
        async fn ring(&self, _: &Branch, times: u8) -> Settled;
    }

    struct Brass(Done);

    impl Bell for Brass {
        async fn ring(&self, _: &Branch, times: u8) -> Settled {
            self.0.lock().unwrap().push(times.to_string());
            Ok(())
        }
    }

    let done = Done::default();
    let tcc = Coordinator::builder("shop", MemoryStore::default())
        .register(BellClient::serve(Brass(done.clone())))
        .start()
        .await
        .unwrap();
    tcc.run("ring", async |tx| tx.on::<BellClient>().ring(3).await).await.unwrap();
    assert_eq!(*done.lock().unwrap(), ["3"]);
}
