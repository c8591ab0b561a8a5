//! Whether a method has the form of a try, a confirm or a cancel, and its payloads may be persisted.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{GenericParam, Pat, ReturnType, Type};

use super::action::Reader;
use super::{Kind, Returns};
use crate::model::form::{Form, is_no_answer, tried};
use crate::syntax::{Function, borrows, is_shared, mentions, show, without_self};

impl Reader<'_> {
    /// Checks all of a method but what it returns.
    pub(super) fn check(&mut self, method: &Function, form: &Form) -> Option<Params> {
        let sig = &method.sig;
        let ident = &sig.ident;
        let mut ok = true;
        let mut wrong = |at: &dyn ToTokens, what: String| {
            self.diagnostics.error(
                at.to_token_stream(),
                format!("`{ident}` {what}: {} `{}`", form.is_written, form.text),
            );
            ok = false;
        };

        let odd: Option<&dyn ToTokens> = match (&sig.constness, &sig.safety, &sig.abi, &sig.variadic) {
            (Some(token), ..) => Some(token),
            (_, syn::Safety::Unsafe(token), ..) => Some(token),
            (_, _, Some(abi), _) => Some(abi),
            (.., Some(variadic)) => Some(variadic),
            _ => None,
        };
        if let Some(odd) = odd {
            wrong(odd, format!("may not be `{}`", show(odd)));
        }
        if sig.asyncness.is_none() {
            wrong(&sig.fn_token, "is not async".to_owned());
        }
        if let Some(param) =
            sig.generics.params.iter().find(|param| !matches!(param, GenericParam::Lifetime(_)))
        {
            wrong(param, "is generic, but its payloads are persisted under one name".to_owned());
        }
        match method.receiver() {
            Some(receiver) if is_shared(receiver) => {}
            Some(receiver) => {
                let why = "many branches call it at the same time";
                wrong(receiver, format!("takes `{}`, but {why}", show(receiver)));
            }
            None => wrong(ident, "has no `&self`".to_owned()),
        }

        let params: Vec<_> = method.typed_params().collect();
        let first_is_cx = params.first().is_some_and(|param| matches!(&*param.ty, Type::Reference(_)));
        if !params.is_empty() && !first_is_cx && params.len() < form.params {
            wrong(&params[0].ty, "does not take `cx: &Branch` first".to_owned());
            return None;
        }
        if params.len() != form.params {
            let (is, shall) = (params.len(), form.params);
            let what =
                format!("takes {is} parameter{} after `&self`, not {shall}", if is == 1 { "" } else { "s" });
            if is == 0 {
                wrong(ident, what);
            } else {
                wrong(&sig.inputs, what);
            }
            return None;
        }
        let cx = params[0];
        match &*cx.ty {
            Type::Reference(reference) if reference.mutability.is_none() => {}
            _ => wrong(&cx.ty, format!("takes `{}` where it is given `&Branch`", show(&cx.ty))),
        }
        let request = &*params[1].ty;
        self.check_payload("request", request, ident, &mut ok);
        ok.then(|| Params {
            cx: cx.ty.span(),
            request_name: param_name(&params[1].pat),
            request: request.clone(),
            output: params.get(2).map(|output| (*output.ty).clone()),
        })
    }

    pub(super) fn check_payload(&mut self, what: &str, ty: &Type, ident: &Ident, ok: &mut bool) {
        if let Some(wrong) = self.unfit(ty) {
            *ok = false;
            self.diagnostics.error(ty, format!("the {what} of `{ident}`, `{}`, {wrong}", show(ty)));
        }
    }

    /// Why a type can't be a payload. One is written to the log, and read back by whoever settles.
    fn unfit(&self, ty: &Type) -> Option<&'static str> {
        let generic = |word: &Ident| match self.kind {
            Kind::Type { generics, .. } => generics.params.iter().any(|param| match param {
                GenericParam::Type(param) => param.ident == *word || word == "Self",
                GenericParam::Const(param) => param.ident == *word || word == "Self",
                GenericParam::Lifetime(_) => false,
            }),
            Kind::Trait { .. } => false,
        };
        let in_trait = matches!(self.kind, Kind::Trait { .. });
        let tokens = || ty.to_token_stream();
        if mentions(tokens(), &|word| word == "impl" || word == "_") {
            Some("is not one type: name it, since it is persisted and read back")
        } else if borrows(ty) {
            Some("borrows: it is persisted and read back, so let it own its data (`String`, not `&str`)")
        } else if in_trait && mentions(tokens(), &|word| word == "Self") {
            Some("depends on who implements the trait: it is persisted under one name, so let it be one type")
        } else if mentions(tokens(), &generic) {
            Some(
                "depends on a parameter of the `impl`: it is persisted under one name, so let it be one type",
            )
        } else {
            None
        }
    }

    /// The request of a method whose parameters are not in order.
    pub(super) fn guess(&self, method: &Function) -> Option<Params> {
        let request = method.typed_params().filter(|param| self.unfit(&param.ty).is_none()).last()?;
        method.sig.generics.params.is_empty().then(|| Params {
            cx: Span::call_site(),
            request_name: param_name(&request.pat),
            request: (*request.ty).clone(),
            output: None,
        })
    }

    pub(super) fn has_return_type(&mut self, method: &Function, form: &Form) -> bool {
        let returns = matches!(method.sig.output, ReturnType::Type(..));
        if !returns {
            let message =
                format!("`{}` returns nothing: {} `{}`", method.sig.ident, form.is_written, form.text);
            self.diagnostics.error(&method.sig.ident, message);
        }
        returns
    }

    pub(super) fn returns(&mut self, method: &Function, form: &Form) -> Option<Returns> {
        if !self.has_return_type(method, form) {
            return None;
        }
        let ReturnType::Type(_, ty) = &method.sig.output else { return None };
        let mut ok = true;
        let Some((output, error)) = tried(ty) else {
            if is_no_answer(ty) {
                let message = format!(
                    "`{}` returns `{}`, which can't tell a refusal from an answer that is unknown: {} `{}`",
                    method.sig.ident,
                    show(ty),
                    form.is_written,
                    form.text
                );
                self.diagnostics.error(ty, message);
                return None;
            }
            self.check_payload("answer", ty, &method.sig.ident, &mut ok);
            return ok.then(|| Returns::Other(self.without_self(ty)));
        };
        self.check_payload("output", output, &method.sig.ident, &mut ok);
        self.check_payload("refusal", error, &method.sig.ident, &mut ok);
        ok.then(|| Returns::Tried { output: self.without_self(output), error: self.without_self(error) })
    }

    /// Where the code is to stand, `Self` would be another type.
    pub(super) fn without_self(&self, code: impl ToTokens) -> TokenStream {
        match self.kind {
            Kind::Type { self_ty, .. } => without_self(code.into_token_stream(), self_ty),
            Kind::Trait { .. } => code.into_token_stream(),
        }
    }
}

/// What a method is called with.
pub(super) struct Params {
    pub(super) cx: Span,
    pub(super) request_name: Ident,
    pub(super) request: Type,
    pub(super) output: Option<Type>,
}

fn param_name(pat: &Pat) -> Ident {
    match pat {
        Pat::Ident(pat) => pat.ident.clone(),
        _ => Ident::new("__request", Span::mixed_site()),
    }
}

/// Whether it returns `Settled`, word for word.
pub(super) fn is_settled(method: &Function) -> bool {
    match &method.sig.output {
        ReturnType::Type(_, ty) => matches!(&**ty, Type::Path(path)
            if path.path.segments.last().is_some_and(|last| last.ident == "Settled" && last.arguments.is_none())),
        ReturnType::Default => false,
    }
}

pub(super) fn return_span(method: &Function) -> Span {
    match &method.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => method.sig.ident.span(),
    }
}
