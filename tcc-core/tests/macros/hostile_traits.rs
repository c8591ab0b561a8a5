//! A trait among names that the user has taken for herself, and its service among as many.

#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, dead_code)]
#![deny(unused_variables)]

use ::tcc_core::store::MemoryStore;
use ::tcc_core::{participant, transactional};
use serde::{Deserialize, Serialize};

// As in `hostile`: types, traits, modules, functions and constants that the language's own names stand for elsewhere.
struct Result;
struct Option;
struct Arc;
struct Box;
struct Infallible;
struct Duration;
struct Registry;
struct Handler;
struct ActionType;
struct Participant;
struct Never;
struct Upcast;
struct Itself;
struct Shared;
struct str;
struct u16;
struct u32;
struct bool;
trait Send {}
trait Sync {}
trait Future {}
trait Clone {}
trait Service {}
trait Register {}
trait TryFrom {}
trait From {}
trait Into {}
mod core {}
mod std {}
mod tcc {}
mod tcc_core {}
fn Ok(_: u8) {}
fn Err(_: u8) {}
const Some: u8 = 1;
const None: u8 = 2;
const tx: u8 = 3;
const cx: u8 = 3;
const service: u8 = 4;
const registry: u8 = 5;
const request: u8 = 6;
const S: u8 = 7;
const T: u8 = 8;

/// Methods that everything has.
trait Everywhere {
    fn serve(&self) {}
    fn register(&self) {}
    fn add_upcast(&self) {}
    fn clone(&self) {}
    fn into(&self) {}
    fn call<A>(&self, _: A) {}
    fn enlist<A>(&self, _: A) {}
    fn confirm(&self) {}
    fn cancel(&self) {}
    fn r#try(&self) {}
}

impl<A: ?Sized> Everywhere for A {}

#[derive(Debug, Serialize, Deserialize)]
struct String_(u8);

#[derive(Serialize, Deserialize)]
struct Old(u8);

impl ::core::convert::From<Old> for String_ {
    fn from(old: Old) -> Self {
        Self(old.0)
    }
}

/// Called as the handlers' own parameter is, whose methods are called as those that are made.
#[participant("branch")]
trait Branch: Everywhere {
    type S;
    type T;
    const tx: u8;

    #[action(confirm = r#match, cancel = cancel, tries = 2, version = 2, upcast(1: Old -> Old))]
    async fn r#try(
        &self,
        _: &::tcc_core::Branch,
        r#type: String_,
    ) -> ::tcc_core::Tried<String_, ::tcc_core::Never>;

    async fn r#match(&self, cx_: &::tcc_core::Branch, _: String_, String: String_) -> ::tcc_core::Settled {
        let _ = (cx_.key(), String.0);
        ::core::result::Result::Ok(())
    }

    async fn cancel(
        &self,
        _: &::tcc_core::Branch,
        _: String_,
        _: ::core::option::Option<String_>,
    ) -> ::tcc_core::Settled;

    #[on_confirm]
    async fn serve(&self, _: &::tcc_core::Branch, tx_: ()) -> ::tcc_core::Settled {
        let () = tx_;
        ::core::result::Result::Ok(())
    }

    /// A plain one, with parameters of these names.
    fn plain<T, S>(&self, it: T, _: S) -> T {
        it
    }
}

struct r#struct<T, S> {
    tx: T,
    tcc: S,
}

impl<T, S> Branch for r#struct<T, S>
where
    T: ::core::marker::Send + ::core::marker::Sync + 'static,
    S: ::core::marker::Send + ::core::marker::Sync + 'static,
{
    type S = T;
    type T = S;
    const tx: u8 = 1;

    async fn r#try(
        &self,
        _: &::tcc_core::Branch,
        r#type: String_,
    ) -> ::tcc_core::Tried<String_, ::tcc_core::Never> {
        let _ = &self.tx;
        ::core::result::Result::Ok(r#type)
    }

    async fn cancel(
        &self,
        _: &::tcc_core::Branch,
        _: String_,
        _: ::core::option::Option<String_>,
    ) -> ::tcc_core::Settled {
        ::core::result::Result::Ok(())
    }
}

/// Traits that are named as the parameters of what is made.
mod one_letter {
    #[tcc_core::participant("s")]
    pub trait S {
        #[on_confirm]
        async fn s(&self, _: &::tcc_core::Branch, s: ()) -> ::tcc_core::Settled;
    }

    #[tcc_core::participant("how")]
    pub(super) trait How {
        #[on_confirm]
        async fn how(&self, _: &::tcc_core::Branch, how: ()) -> ::tcc_core::Settled;
    }

    #[tcc_core::participant("service", crate = self::inner::tcc_core)]
    trait Service {
        #[on_confirm]
        async fn serve(&self, _: &::tcc_core::Branch, service: ()) -> ::tcc_core::Settled;
    }

    mod inner {
        pub use ::tcc_core;
    }

    pub struct All;

    impl S for All {
        async fn s(&self, _: &::tcc_core::Branch, (): ()) -> ::tcc_core::Settled {
            Ok(())
        }
    }

    impl How for All {
        async fn how(&self, _: &::tcc_core::Branch, (): ()) -> ::tcc_core::Settled {
            Ok(())
        }
    }

    impl Service for All {
        async fn serve(&self, _: &::tcc_core::Branch, (): ()) -> ::tcc_core::Settled {
            Ok(())
        }
    }

    pub fn builder(builder: ::tcc_core::Builder) -> ::tcc_core::Builder {
        let all = ::std::sync::Arc::new(All);
        builder
            .register(SClient::serve(all.clone()))
            .register(HowClient::serve(All))
            .register(ServiceClient::serve(all))
    }

    pub async fn call(tx: &::tcc_core::Tx) -> Result<(), ::tcc_core::TransactionError> {
        tx.on::<SClient>().s(()).await?;
        tx.on::<HowClient>().how(()).await?;
        tx.on::<ServiceClient>().serve(()).await
    }
}

type Done = ::core::result::Result<(), ::tcc_core::TransactionError>;

#[transactional(on = __tcc, key = tx_ + s, request = &(tx_, s))]
async fn outermost(__tx: &::tcc_core::Tx, __tcc: &::tcc_core::Coordinator, tx_: u64, s: u64) -> Done {
    let ::core::result::Result::Ok(it) = ::tcc_core::Tx::on::<BranchClient>(__tx).r#try(String_(7)).await
    else {
        ::core::panic!("it never refuses")
    };
    ::core::assert_eq!(it.0, 7);
    ::tcc_core::Tx::on::<BranchClient>(__tx).serve(()).await?;
    one_letter::call(__tx).await
}

#[tokio::test]
async fn a_trait_among_taken_names_is_served_and_called() {
    let it = r#struct { tx: 1_u8, tcc: "s" };
    ::core::assert_eq!(Branch::plain(&it, 1, "s"), 1);
    let builder = ::tcc_core::Coordinator::builder("b", MemoryStore::default());
    let builder = one_letter::builder(builder.register(BranchClient::serve(it)));
    let tcc_ = builder.start().await.unwrap();
    outermost(&tcc_, 1, 2).await.unwrap();
}
