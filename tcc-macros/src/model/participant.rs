//! `#[participant]`, `#[action]` and `#[on_confirm]`: a block's actions.

mod action;
mod check;
mod head;

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use syn::{Attribute, Generics, Path, Type, Visibility};

use crate::args::{Args, persisted_name};
use crate::diagnostics::Diagnostics;
use crate::syntax::{Block, Function, Head, is_ours, plain};

/// A participant.
pub(crate) struct Participant {
    /// Where `tcc_core` is.
    pub(crate) tcc: Path,
    pub(crate) name: String,
    /// `Inventory`, or `Wallet`.
    pub(crate) ident: Ident,
    pub(crate) kind: Kind,
    /// Under which it stands.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) actions: Vec<Action>,
}

/// What the attribute stands on.
pub(crate) enum Kind {
    /// On a block of a type, `Inventory<C>`: it does the actions, and they are called by its name.
    Type { self_ty: Box<Type>, generics: Generics },
    /// On a trait: who implements it does the actions, and they are called by the name of a client.
    Trait { vis: Visibility },
}

/// One action. It may be incomplete if mistakes were found: then what is there keeps the rest of the user's code from
/// being blamed for them.
pub(crate) struct Action {
    /// The type that stands for it: `InventoryReserve`.
    pub(crate) ident: Ident,
    /// `inventory.reserve`
    pub(crate) name: String,
    pub(crate) version: u16,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tries: Option<u32>,
    pub(crate) upcasts: Vec<Upcast>,
    pub(crate) method: Ident,
    pub(crate) vis: Visibility,
    /// What the type and the stub inherit from the method: its documentation, `cfg` and `deprecated`.
    pub(crate) docs: Vec<Attribute>,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) deprecated: Vec<Attribute>,
    pub(crate) request: Param,
    pub(crate) cx_span: Span,
    pub(crate) returns_span: Span,
    pub(crate) phases: Phases,
    /// Whether the methods have the form that the expansion calls.
    pub(crate) is_sound: bool,
}

/// The request, under the name that the user has given to it.
pub(crate) struct Param {
    pub(crate) ident: Ident,
    pub(crate) ty: TokenStream,
}

pub(crate) enum Phases {
    /// The method is the try.
    Try { returns: Returns, confirm: Option<Box<Settle>>, cancel: Option<Box<Settle>> },
    /// The method is the confirm, and there is nothing else.
    OnConfirm { is_settled: bool },
}

/// What a try returns.
pub(crate) enum Returns {
    /// `Tried<Hold, StockError>`, word for word.
    Tried { output: TokenStream, error: TokenStream },
    /// An alias, say: the type system finds out.
    Other(TokenStream),
    /// It was not to be made out, and that has been said.
    Unknown,
}

/// A method that confirms or cancels, and where its types are written: errors in them are shown there.
pub(crate) struct Settle {
    pub(crate) method: Ident,
    pub(crate) cx: Span,
    pub(crate) request: Given,
    pub(crate) output: Given,
    pub(crate) returns: Span,
    /// Whether it returns `Settled`, word for word: of an alias the type system finds out.
    pub(crate) is_settled: bool,
}

/// A payload that a method takes.
pub(crate) struct Given {
    pub(crate) span: Span,
    /// The type, if it is not word for word that of the try: whether it is the same the type system finds out.
    pub(crate) otherwise: Option<TokenStream>,
}

/// An older version that is settled too: its payloads.
pub(crate) struct Upcast {
    pub(crate) version: u16,
    pub(crate) request: TokenStream,
    /// `None` if it did not change.
    pub(crate) output: Option<TokenStream>,
}

/// Reads a block. `None` if so little of it is right that nothing can be made of it.
pub(crate) fn read(args: TokenStream, block: &Block, diagnostics: &mut Diagnostics) -> Option<Participant> {
    let mut args = Args::parse("participant", &["crate"], args, diagnostics);
    let tcc = args.tcc(diagnostics);
    let head = head::read(block, diagnostics);
    let name = match &args.first {
        Some(name) => persisted_name(name, diagnostics),
        None => {
            let ident = head.as_ref().map(|(ident, _)| plain(ident).to_lowercase());
            let example = ident.unwrap_or_else(|| "inventory".to_owned());
            let message =
                format!("a participant has a name that is persisted: write `#[participant(\"{example}\")]`");
            diagnostics.add(syn::Error::new(Span::call_site(), message));
            None
        }
    };
    let (ident, kind) = head?;
    // A stand-in, so that the actions are read, and what is wrong with them is said in the same go.
    let name = name.unwrap_or_else(|| "participant".to_owned());
    let cfgs: Vec<_> =
        block.head.attrs().iter().filter(|attr| attr.path().is_ident("cfg")).cloned().collect();
    let mut actions = action::read(block, &ident, &kind, &name, diagnostics);
    for action in &mut actions {
        action.cfgs.extend_from_slice(&cfgs);
    }
    if !block.methods().any(is_marked) {
        let message = format!(
            "`{ident}` has no action in this block: mark the method of a try with `#[action(confirm = …, cancel = …)]`, \
             or one that has no try with `#[on_confirm]`"
        );
        match &block.head {
            Head::Impl(head) => diagnostics.error(&head.self_ty, message),
            Head::Trait(head) => diagnostics.error(&head.ident, message),
        }
    }
    Some(Participant { tcc, name, ident, kind, cfgs, actions })
}

/// Takes our markers off the methods: rustc must not see them. And off a type's own block an `#[async_trait]`, of which it
/// has been said that it has no place there.
pub(crate) fn strip(block: &mut Block) {
    if let Head::Impl(head) = &mut block.head
        && head.trait_.is_none()
    {
        head.attrs.retain(|attr| !head::names_async_trait(attr));
    }
    for method in block.methods_mut() {
        if is_marked(method) {
            method.attrs.retain(|attr| !is_ours(attr, "action") && !is_ours(attr, "on_confirm"));
        }
    }
}

fn is_marked(method: &Function) -> bool {
    method.marker("action").chain(method.marker("on_confirm")).next().is_some()
}
