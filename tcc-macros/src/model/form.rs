//! The form that a method of an action must have, as it is checked and as it is shown to who has missed it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{GenericArgument, PathArguments, ReturnType, Type};

use crate::syntax::{Function, borrows, show};

/// The form that a method must have.
pub(super) struct Form {
    /// How many parameters come after `&self`.
    pub(super) params: usize,
    /// How the message goes on: `an action is`.
    pub(super) is_written: String,
    pub(super) text: String,
    /// The output of the try, if it is known word for word.
    pub(super) output: Option<TokenStream>,
}

impl Form {
    pub(super) fn of_try(method: &Function) -> Self {
        let request = request_of(method);
        let output = match &method.sig.output {
            ReturnType::Type(_, ty) => tried(ty)
                .or_else(|| match types_of("Result", ty)?.as_slice() {
                    [output, error] if is_no_answer(ty) => Some((*output, *error)),
                    _ => None,
                })
                .map(|(output, error)| (quote!(#output), quote!(#error))),
            ReturnType::Default => None,
        };
        let (shown_output, error) = output.clone().unwrap_or_else(|| (quote!(Output), quote!(Refusal)));
        let text = format!(
            "async fn {}(&self, cx: &Branch, request: {request}) -> Tried<{}, {}>",
            method.sig.ident,
            show(shown_output),
            show(error)
        );
        Self {
            params: 2,
            is_written: "an action is written".to_owned(),
            text,
            output: output.map(|(output, _)| output),
        }
    }

    pub(super) fn of_on_confirm(method: &Function) -> Self {
        let text = format!(
            "async fn {}(&self, cx: &Branch, request: {}) -> Settled",
            method.sig.ident,
            request_of(method)
        );
        Self { params: 2, is_written: "an action on confirm is written".to_owned(), text, output: None }
    }

    pub(super) fn of_settle(name: &Ident, action: &Function, tried: &Form, cancels: bool) -> Self {
        let output = tried.output.as_ref().map_or_else(|| "Output".to_owned(), show);
        let output = if cancels { format!("Option<{output}>") } else { output };
        let request = request_of(action);
        Self {
            params: 3,
            is_written: format!(
                "the {} of `{}` is written",
                if cancels { "cancel" } else { "confirm" },
                action.sig.ident
            ),
            text: format!(
                "async fn {name}(&self, cx: &Branch, request: {request}, output: {output}) -> Settled"
            ),
            output: tried.output.clone(),
        }
    }
}

/// The request's type, as far as it can be told, for a message.
fn request_of(method: &Function) -> String {
    let last = method.typed_params().nth(1).or_else(|| method.typed_params().last());
    match last {
        Some(param) if !borrows(&param.ty) && !matches!(&*param.ty, Type::ImplTrait(_)) => show(&param.ty),
        _ => "Request".to_owned(),
    }
}

/// `Hold` and `StockError` of a literal `Tried<Hold, StockError>`.
pub(super) fn tried(ty: &Type) -> Option<(&Type, &Type)> {
    match types_of("Tried", ty)?.as_slice() {
        [output, error] => Some((output, error)),
        _ => None,
    }
}

/// A type that certainly isn't what a try returns; aliases are left to rustc.
pub(super) fn is_no_answer(ty: &Type) -> bool {
    if let Some([_, error]) = types_of("Result", ty).as_deref() {
        return !matches!(error, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "TryFailure"));
    }
    match ty {
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|last| last.ident == "Settled" || last.ident == "Option")
        }
        Type::Macro(_) | Type::Paren(_) | Type::Group(_) => false,
        _ => true,
    }
}

pub(super) fn inside_option(ty: &Type) -> Option<TokenStream> {
    match types_of("Option", ty)?.as_slice() {
        [inner] => Some(inner.to_token_stream()),
        _ => None,
    }
}

/// The arguments of a path that ends with this name, if all of them are types.
fn types_of<'a>(name: &str, ty: &'a Type) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(args) = &last.arguments else { return None };
    args.args
        .iter()
        .map(|arg| match arg {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect()
}
