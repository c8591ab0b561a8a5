//! Names that the user has taken for herself: what the macros write does not stumble over them.

#![allow(non_camel_case_types, dead_code)]

use ::tcc_core::store::MemoryStore;
use ::tcc_core::{Coordinator, TransactionError, participant, transactional};
use serde::{Deserialize, Serialize};

// All of these would be taken for the language's own if the expansion relied on what is in scope.
struct Result;
struct Option;
struct Send;
struct Sync;
struct Future;
struct Arc;
struct Clone;
struct Vec;
struct Box;
struct Duration;
struct Registry;
struct Service;
struct Handler;
struct ActionType;
struct Participant;
struct Never;
struct str;
struct u16;
struct bool;
struct Some_;
#[derive(Serialize, Deserialize)]
struct String;
mod core {}
mod std {}
mod tcc {}
mod tcc_core {}

#[allow(unused_macros)]
macro_rules! unreachable {
    () => {
        compile_error!("not the language's own");
    };
}

#[allow(non_snake_case)]
fn Ok(_: u8) {}
#[allow(non_snake_case)]
fn Err(_: u8) {}
#[allow(non_upper_case_globals)]
const Some: u8 = 1;
#[allow(non_upper_case_globals)]
const None: u8 = 2;
#[allow(non_upper_case_globals)]
const tx: u8 = 3;
#[allow(non_upper_case_globals)]
const request: u8 = 4;
#[allow(non_upper_case_globals)]
const cx: u8 = 4;
#[allow(non_upper_case_globals)]
const output: u8 = 5;
#[allow(non_upper_case_globals)]
const coordinator: u8 = 6;
#[allow(non_upper_case_globals)]
const transaction: u8 = 7;
#[allow(non_upper_case_globals)]
const arg0: u8 = 7;
#[allow(non_upper_case_globals)]
const registry: u8 = 8;

/// Methods that everything has.
trait Everywhere {
    fn call<A>(&self, _: A) {}
    fn enlist<A>(&self, _: A) {}
    fn transaction(&self) {}
    fn timeout(&self) {}
    fn run(&self) {}
    fn add<A, B>(&self, _: A) {}
    fn clone(&self) {}
    fn key(&self) {}
    fn on(&self) {}
}

impl<T: ?Sized> Everywhere for T {}

struct r#Match {
    tx: u8,
    tcc: Coordinator,
}

#[participant("match")]
impl r#Match {
    #[action(confirm = r#loop, cancel = call, timeout = "1s")]
    pub(self) async fn r#try(
        &self,
        _: &::tcc_core::Branch,
        r#type: String,
    ) -> ::tcc_core::Tried<String, ::tcc_core::Never> {
        ::core::result::Result::Ok(r#type)
    }

    async fn r#loop(&self, _: &::tcc_core::Branch, _: String, _: String) -> ::tcc_core::Settled {
        let _ = self.tx;
        ::core::result::Result::Ok(())
    }

    async fn call(
        &self,
        _: &::tcc_core::Branch,
        _: String,
        _: ::core::option::Option<String>,
    ) -> ::tcc_core::Settled {
        ::core::result::Result::Ok(())
    }

    /// The stub has methods that are named as those of a transaction are.
    #[on_confirm]
    async fn enlist(&self, _: &::tcc_core::Branch, tx_: ()) -> ::tcc_core::Settled {
        let () = tx_;
        ::core::result::Result::Ok(())
    }
}

impl r#Match {
    #[transactional(timeout = "5s", key = run, request = (&arg, coordinator_))]
    async fn r#transaction(
        &self,
        tx_: &::tcc_core::Tx,
        run: u8,
        arg: u8,
        coordinator_: &::core::primitive::str,
    ) -> ::core::result::Result<(), TransactionError> {
        let _ = (run, arg, coordinator_);
        ::tcc_core::Tx::on::<r#Match>(tx_).enlist(()).await
    }
}

#[tokio::test]
async fn names_that_are_taken_are_in_nobodys_way() {
    let tcc_of_service = Coordinator::builder("a", MemoryStore::default()).start().await.unwrap();
    let service = r#Match { tx: 1, tcc: tcc_of_service };
    let shared = Coordinator::builder("b", MemoryStore::default()).register(service).start().await.unwrap();
    let user = r#Match { tx: 2, tcc: shared };
    user.r#transaction(1, 2, "x").await.unwrap();
}
