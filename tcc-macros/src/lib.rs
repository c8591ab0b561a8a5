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

/// Makes a service a participant: `#[participant("inventory")]` on its `impl` block.
///
/// The name is persisted: 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`. The block's methods stay as they stand; of those
/// that are marked [`#[action]`](macro@action) or [`#[on_confirm]`](macro@on_confirm) it makes
///
/// - a type for each, `InventoryReserve`, as visible as the method: an `ActionType`, and `Handler<InventoryReserve>` for
///   the service;
/// - `Service` and `Participant` for the service;
/// - `InventoryStub`, what `tx.on::<Inventory>()` returns, with the methods' own documentation.
///
/// `crate = some::path` names `tcc_core` where it is known by another name.
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
#[proc_macro_attribute]
pub fn participant(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::participant(args.into(), item.into()).into()
}

/// Marks the try of an action, in a block marked [`#[participant]`](macro@participant), which finds it by its name: there
/// is nothing to import.
///
/// `async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError>`, with
///
/// - `confirm = ship`: `async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled`. Left out, there is
///   nothing to do: the action is a step of a saga;
/// - `cancel = release`: `async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled`. It is
///   `None` if the try never answered. `cancel = none` says that a try leaves nothing to undo, whatever became of it;
/// - `timeout = "5s"`: how long one call may take, in any phase: `"250ms"`, `"5s"`, `"1m"`, `"2h"`;
/// - `rename = "hold"`: the persisted name, if the method's is not it;
/// - `version = 2`: the version of the payloads, 1 if not said. Two versions of one action stand side by side.
#[proc_macro_attribute]
pub fn action(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker("action", item.into()).into()
}

/// Marks an action without a try, in a block marked [`#[participant]`](macro@participant): a reliable message.
///
/// `async fn receipt(&self, cx: &Branch, req: Receipt) -> Settled` is called if, and when, the transaction confirms.
/// `timeout`, `rename` and `version` are those of [`#[action]`](macro@action).
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
/// - `on = self.tcc`: the coordinator, a `Coordinator` or an `Arc` of one. In methods this is the default; a free
///   function has to say it;
/// - `timeout = "30s"`: `"250ms"`, `"5s"`, `"1m"`, `"2h"`;
/// - `key = order.id`: makes it idempotent. A repeat is compared by its request, which is all arguments, or what
///   `request = order` says;
/// - `reuse_after_cancel`: with a key, it may run again after a call that was cancelled;
/// - `independent`: it may be started inside another transaction;
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
