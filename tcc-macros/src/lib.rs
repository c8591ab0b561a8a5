//! The attributes of `tcc-core`, which re-exports them: use them from there.
//!
//! They are sugar over its public traits, and say what is wrong at compile time: all mistakes of a block in one go, each
//! at the user's own span.

mod args;
mod diagnostics;
mod expand;
mod model;
mod syntax;

#[cfg(test)]
mod golden;

use proc_macro::TokenStream;

/// Makes a service a participant: on its `impl` block, or on a trait that services implement.
///
/// The name is persisted: 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`. `crate = some::path` names `tcc_core` where it is
/// known by another name. Methods marked [`#[action]`](macro@action) or [`#[on_confirm]`](macro@on_confirm) are the
/// participant's actions; the others are left as they stand, and so are the marked ones of an `impl` block: they can be
/// called and tested by themselves.
///
/// # On an `impl` block
///
/// ```text
/// #[participant("inventory")]
/// impl Inventory {
///     /// Puts stock aside until the order settles.
///     #[action(confirm = ship, cancel = release, timeout = "5s")]
///     async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> { … }
///     async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled { … }
///     async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled { … }
/// }
/// ```
///
/// All actions of a type stand in one such block; with a second one rustc finds `InventoryStub` defined twice (E0428), and
/// two implementations of `Service` and `Participant` (E0119).
///
/// The type may have parameters and a `where` clause, but no lifetimes: it outlives every transaction. It is `Send`, `Sync`
/// and `'static` where it is registered. Payloads don't depend on its parameters. It is registered as it is, or in an `Arc`: `.register(inventory)`; and called by its own name:
/// `tx.on::<Inventory>().reserve(..)`. What is made:
///
/// - a type for each action, `InventoryReserve`, as visible as the method: an `ActionType`, and `Handler<InventoryReserve>`
///   for the service;
/// - `Service` and `Participant` for the service;
/// - `InventoryStub`, what `tx.on::<Inventory>()` returns, with the methods' own documentation.
///
/// # On a trait
///
/// Then who calls it needs the trait and its payloads, and no service:
///
/// ```text
/// #[participant("wallet")]
/// pub trait Wallet {
///     /// Puts money aside.
///     #[action(confirm = settle, cancel = refund)]
///     async fn freeze(&self, cx: &Branch, req: Freeze) -> Tried<Frozen, WalletError>;
///     async fn settle(&self, cx: &Branch, req: Freeze, frozen: Frozen) -> Settled;
///     async fn refund(&self, cx: &Branch, req: Freeze, frozen: Option<Frozen>) -> Settled;
/// }
///
/// impl Wallet for PgWallet {
///     async fn freeze(&self, cx: &Branch, req: Freeze) -> Tried<Frozen, WalletError> { … }
///     …
/// }
///
/// builder.register(WalletClient::serve(pg_wallet));    // a `PgWallet`, or an `Arc` of one
/// tx.on::<WalletClient>().freeze(freeze).await?;
/// ```
///
/// What is made, all of it as visible as the trait:
///
/// - the trait itself, with `Send + Sync + 'static` above it, and with futures that are `Send` for the methods of actions.
///   They are implemented as plain `async fn`, and may have a default body;
/// - `WalletClient`, a `Participant`, by whose name it is called, and its `serve`, which makes a service of whatever
///   implements the trait;
/// - `WalletService<S>`, what `serve` returns: a `Service`;
/// - `WalletFreeze` for each action, and `WalletStub`, as above.
///
/// The trait may have supertraits, plain methods, constants and types of its own. It has no parameters, and no payload
/// depends on `Self`: payloads are persisted under one name, whoever serves them. It can't be a trait object. It needs no
/// `#[async_trait]`, and neither does what implements it: there rustc would find that the lifetimes don't match (E0195).
///
/// The front page of `tcc-core` shows how one implements it over a network.
#[proc_macro_attribute]
pub fn participant(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::participant(args.into(), item.into()).into()
}

/// Marks the try of an action, in a block or trait marked [`#[participant]`](macro@participant), which finds it by its
/// name: there is nothing to import. Without that mark on the block rustc does not find the attribute, or, if it is
/// imported, is told to put the mark there.
///
/// `async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError>`, with
///
/// - `confirm = ship`: `async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled`. Left out, there is
///   nothing to do: the action is a step of a saga;
/// - `cancel = release`: `async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled`. It is
///   `None` if the try never answered. `cancel = none` says that a try leaves nothing to undo, whatever became of it;
/// - `timeout = "5s"`: how long one call may take, in any phase: `"250ms"`, `"5s"`, `"1m"`, `"2h"`; from 1 ms to 24 h. The
///   coordinator's `call_timeout` if not said;
/// - `tries = 3`: how often the try is asked at most while its answer is *unknown*, within the transaction's deadline: 1 if
///   not said, 100 at most. A repeat is safe behind a fence. Confirm and cancel are asked until they succeed;
/// - `rename = "hold"`: the persisted name, if the method's is not it;
/// - `version = 2`: the version of the payloads, 1 if not said;
/// - `upcast(1: ReserveV1 -> HoldV1)`: it settles branches of version 1 too.
///
/// Request, output and refusal are written to the log and read back, perhaps by another process: they own their data and
/// are `Serialize` and `Deserialize`; the refusal is `Debug` and `Display` as well.
///
/// # Versions
///
/// A branch keeps the version under which it was logged, and is settled by that version's handler. When payloads change,
/// give the action a new `version`, and see to the branches that instances from before the deploy have left. Either one
/// more method handles the old version, and can be called as well:
///
/// ```text
/// #[action(confirm = ship, cancel = release, version = 2)]
/// async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> { … }
///
/// #[action(confirm = ship_v1, cancel = release_v1, rename = "reserve")]
/// async fn reserve_v1(&self, cx: &Branch, req: ReserveV1) -> Tried<HoldV1, StockError> { … }
/// ```
///
/// Or its payloads are *upcast*, and the new methods settle them; there are no new tries of the old version then:
///
/// ```text
/// #[action(confirm = ship, cancel = release, version = 3, upcast(1: ReserveV1 -> HoldV1, 2: ReserveV2))]
/// async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> { … }
/// ```
///
/// What stands at `->` is the output, left out if it did not change. They are converted by `TryFrom<ReserveV1> for
/// Reserve`, or `From`. What can't be converted is never guessed: its branch is asked for again later, its error names it,
/// and another instance may do better. A version of which nothing is known here waits in the same way.
#[proc_macro_attribute]
pub fn action(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker("action", item.into()).into()
}

/// Marks an action without a try, in a block or trait marked [`#[participant]`](macro@participant): a reliable message.
///
/// `async fn receipt(&self, cx: &Branch, req: Receipt) -> Settled` is called if, and when, the transaction confirms, and
/// until it succeeds. `timeout`, `rename`, `version` and `upcast(1: ReceiptV1)` are those of [`#[action]`](macro@action);
/// what concerns a try (`confirm`, `cancel`, `tries`) it does not have.
#[proc_macro_attribute]
pub fn on_confirm(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker("on_confirm", item.into()).into()
}

/// Makes an async function a transaction of its own.
///
/// `async fn checkout(&self, tx: &Tx, order: Order) -> Result<Receipt, CheckoutError>` becomes `checkout(&self, order)`,
/// which runs it in a new transaction, and `checkout_in(&self, tx, order)`, which joins one that is already open. The
/// arguments:
///
/// - `name = "checkout"`: what is logged; the function's name if not said;
/// - `on = self.tcc`: the coordinator, a `Coordinator` or an `Arc` of one. In methods this is the default, a field of
///   `self` or of what that dereferences to; a free function has to say it;
/// - `timeout = "30s"`: `"250ms"`, `"5s"`, `"1m"`, `"2h"`; from 1 ms to 24 h. The coordinator's own if not said;
/// - `key = order.id`: makes it idempotent. The key is any expression of the arguments that is `Display`, and its text has 1
///   to 512 bytes; a literal would be the same for every call, and is refused. A repeat is compared by its request, which is
///   all arguments, or what `request = order` says;
/// - `reuse_after_cancel`: with a key, it may run again after a call that was cancelled;
/// - `independent`: it may be started inside another transaction. Otherwise that is an error when it runs, and where a
///   method calls itself, or its sibling in a block marked `#[transactional]`, when it is compiled;
/// - `crate = some::path`: `tcc_core` under another name.
///
/// A trait's method has no room for a second one beside it. There, put a bare `#[transactional]` on the `impl` block
/// too, above `#[async_trait]` if there is one: the method keeps its place in the trait, and gets no `_in` twin.
///
/// ```text
/// #[transactional]
/// #[async_trait]
/// impl Checkout for Shop {
///     #[transactional(timeout = "30s")]
///     async fn buy(&self, tx: &Tx, order: Order) -> Result<Receipt, CheckoutError> { … }
/// }
/// ```
#[proc_macro_attribute]
pub fn transactional(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::transactional(args.into(), item.into()).into()
}
