//! What `#[participant]` stands on.

use proc_macro2::Ident;
use syn::{Attribute, GenericParam, ItemImpl, ItemTrait, Type};

use super::Kind;
use crate::diagnostics::Diagnostics;
use crate::model::transactional::is_async_trait;
use crate::syntax::{Block, Head, borrows, show};

/// The name of the type or trait, if its block may be that of a participant.
pub(super) fn read(block: &Block, diagnostics: &mut Diagnostics) -> Option<(Ident, Kind)> {
    match &block.head {
        Head::Impl(head) => read_impl(head, diagnostics),
        Head::Trait(head) => read_trait(head, block, diagnostics),
    }
}

fn read_impl(head: &ItemImpl, diagnostics: &mut Diagnostics) -> Option<(Ident, Kind)> {
    if let Some((path, _)) = &head.trait_ {
        let (name, of) = (show(path), show(&head.self_ty));
        let message = format!(
            "`#[participant]` stands on a trait or on a type's own block, not on `impl {name} for {of}`: put it on \
             `trait {name} {{ … }}`, which `{of}` then serves, or on `impl {of} {{ … }}`"
        );
        diagnostics.error(path, message);
        return None;
    }
    let ident = match &*head.self_ty {
        Type::Path(path) if path.qself.is_none() => {
            path.path.segments.last().map(|segment| segment.ident.clone())
        }
        _ => None,
    };
    let Some(ident) = ident else {
        let message =
            format!("a participant is a type with a name of its own, not `{}`", show(&head.self_ty));
        diagnostics.error(&head.self_ty, message);
        return None;
    };
    let lifetime = head.generics.params.iter().find(|param| matches!(param, GenericParam::Lifetime(_)));
    if lifetime.is_some() || borrows(&head.self_ty) {
        let message = format!(
            "the participant `{}` borrows: it outlives every transaction, so let it own its data, or hold it in an `Arc`",
            show(&head.self_ty)
        );
        diagnostics.error(&head.self_ty, message);
        return None;
    }
    if let Some(attr) = head.attrs.iter().find(|attr| names_async_trait(attr)) {
        let of = show(&head.self_ty);
        let message = format!(
            "`#[async_trait]` stands on the `impl` of a trait, not on `impl {of}`: take it away, since `#[participant]` \
             lets its methods be written as plain `async fn`"
        );
        diagnostics.error(attr, message);
    }
    let kind = Kind::Type { self_ty: head.self_ty.clone(), generics: head.generics.clone() };
    Some((ident, kind))
}

/// `#[async_trait]`, by whatever path.
pub(super) fn names_async_trait(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|last| last.ident == "async_trait")
}

fn read_trait(head: &ItemTrait, block: &Block, diagnostics: &mut Diagnostics) -> Option<(Ident, Kind)> {
    let ident = &head.ident;
    let instead = format!(
        "take it away, here and where `{ident}` is implemented, since `#[participant]` lets its methods be written as \
         plain `async fn`"
    );
    if let Some(attr) = head.attrs.iter().find(|attr| names_async_trait(attr)) {
        diagnostics.error(attr, format!("a participant's trait is no `#[async_trait]`: {instead}"));
    }
    if block.methods().any(is_async_trait) {
        let message =
            format!("`#[async_trait]` has rewritten `{ident}` before `#[participant]` could: {instead}");
        diagnostics.error(ident, message);
        return None;
    }
    if !head.generics.params.is_empty() {
        let message = format!(
            "the trait `{ident}` has parameters, but its payloads are persisted under one name: write `trait {ident}`, \
             and leave them to the types that implement it"
        );
        diagnostics.error(&head.generics.params, message);
        return None;
    }
    Some((ident.clone(), Kind::Trait { vis: head.vis.clone() }))
}
