//! `#[transactional]`: a function that is a transaction of its own.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::{Expr, FnArg, GenericParam, Lit, Pat, PatType, Path, ReturnType, Type};

use crate::args::{Args, check_name};
use crate::diagnostics::Diagnostics;
use crate::syntax::{Function, is_shared, mentions, plain, show};

/// What is known of where a function stands: its own attribute does not see the block around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In an `impl` block of a type, or in a module.
    Unknown,
    /// In an `impl` block of a type.
    Inherent,
    /// In an `impl` block of a trait: nothing can be put beside it.
    Trait,
}

/// A transactional function.
pub(crate) struct Transactional {
    /// Where `tcc_core` is.
    pub(crate) tcc: Path,
    pub(crate) function: Function,
    pub(crate) place: Place,
    /// What is logged.
    pub(crate) name: String,
    /// The parameter `tx: &Tx`. `None` if it is missing, which has been said.
    pub(crate) tx: Option<PatType>,
    /// Where it stands among the inputs, `self` included.
    pub(crate) tx_at: Option<usize>,
    /// The other parameters.
    pub(crate) params: Vec<PatType>,
    /// The coordinator. `None` if it is not named, which has been said.
    pub(crate) on: Option<Expr>,
    /// Whether that is `self.tcc` because nothing is said.
    pub(crate) on_is_default: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) independent: bool,
    pub(crate) key: Option<KeyedBy>,
    /// Whether it can be run as it is.
    pub(crate) is_sound: bool,
}

/// What makes it idempotent.
pub(crate) struct KeyedBy {
    pub(crate) key: Expr,
    /// What a repeat is compared by; `None` for all arguments.
    pub(crate) request: Option<Expr>,
    pub(crate) reuse_after_cancel: bool,
}

const KNOWN: [&str; 8] =
    ["name", "on", "timeout", "key", "request", "reuse_after_cancel", "independent", "crate"];

/// Reads a function and its attribute.
pub(crate) fn read(
    args: TokenStream,
    function: Function,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Transactional {
    let mut args = Args::parse("transactional", &KNOWN, args, diagnostics);
    let named = args.has("name");
    let name = args.name("name", diagnostics).unwrap_or_else(|| {
        let name = plain(&function.sig.ident);
        if !named && let Err(wrong) = check_name(&name) {
            diagnostics.error(&function.sig.ident, format!("{wrong}; give it one with `name = \"…\"`"));
        }
        name
    });
    let ok = check_form(&function, diagnostics);
    let tx_at = find_tx(&function, diagnostics);
    let mut tx = None;
    let mut params = Vec::new();
    for (at, input) in function.sig.inputs.iter().enumerate() {
        match input {
            FnArg::Typed(param) if Some(at) == tx_at => tx = Some(param.clone()),
            FnArg::Typed(param) => params.push(param.clone()),
            FnArg::Receiver(_) => {}
        }
    }
    let on_is_default = !args.has("on");
    let on = read_on(&mut args, &function, diagnostics);
    let timeout = args.duration("timeout", diagnostics);
    let independent = args.flag("independent", diagnostics);
    let key = read_key(&mut args, diagnostics);
    let tcc = args.tcc(diagnostics);
    let tx_is_first = tx_at == Some(usize::from(function.receiver().is_some()));
    let is_sound = ok && tx_is_first && on.is_some();
    Transactional {
        tcc,
        function,
        place,
        name,
        tx,
        tx_at,
        params,
        on,
        on_is_default,
        timeout,
        independent,
        key,
        is_sound,
    }
}

fn check_form(function: &Function, diagnostics: &mut Diagnostics) -> bool {
    let sig = &function.sig;
    let ident = &sig.ident;
    let mut ok = true;
    let mut wrong = |at: &dyn ToTokens, message: String| {
        diagnostics.error(at.to_token_stream(), message);
        ok = false;
    };
    if sig.asyncness.is_none() && is_async_trait(function) {
        let hint = "put a bare `#[transactional]` on the `impl` block too, above `#[async_trait]`";
        wrong(
            ident,
            format!("`#[async_trait]` has rewritten `{ident}` before `#[transactional]` could: {hint}"),
        );
    } else if sig.asyncness.is_none() {
        wrong(
            &sig.fn_token,
            format!("`{ident}` is not async: a transaction is awaited, so write `async fn {ident}`"),
        );
    }
    match &sig.output {
        ReturnType::Default => {
            let hint = "write `-> Result<T, E>` with `E: From<TransactionError>`";
            wrong(ident, format!("`{ident}` returns nothing, but a transaction may fail: {hint}"));
        }
        ReturnType::Type(_, ty) if mentions(ty.to_token_stream(), &|word| word == "impl") => {
            wrong(ty, format!("`{ident}` returns `{}`: a transaction's type has to be named", show(ty)));
        }
        ReturnType::Type(_, ty) if !may_be_result(ty) => {
            let hint = "write `-> Result<T, E>` with `E: From<TransactionError>`";
            wrong(ty, format!("`{ident}` returns `{}`, but a transaction may fail: {hint}", show(ty)));
        }
        ReturnType::Type(..) => {}
    }
    let odd: Option<&dyn ToTokens> = match (&sig.constness, &sig.abi, &sig.variadic) {
        (Some(token), ..) => Some(token),
        (_, Some(abi), _) => Some(abi),
        (.., Some(variadic)) => Some(variadic),
        _ => None,
    };
    if let Some(odd) = odd {
        wrong(odd, format!("`{ident}` may not be `{}`: a transaction is a plain `async fn`", show(odd)));
    }
    ok
}

/// A type that certainly isn't a `Result`; aliases are left to rustc.
fn may_be_result(ty: &Type) -> bool {
    let known = [
        "Option", "Vec", "String", "bool", "Box", "Tried", "Settled", "u8", "u32", "u64", "i32", "i64",
        "usize",
    ];
    match ty {
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|last| !known.iter().any(|known| last.ident == known))
        }
        Type::Macro(_) | Type::Paren(_) | Type::Group(_) => true,
        _ => false,
    }
}

/// Whether `#[async_trait]` has been here: it names a lifetime after itself.
pub(crate) fn is_async_trait(function: &Function) -> bool {
    function.sig.generics.params.iter().any(|param| match param {
        GenericParam::Lifetime(param) => param.lifetime.ident == "async_trait",
        GenericParam::Type(_) | GenericParam::Const(_) => false,
    })
}

/// Where the parameter `tx: &Tx` is among the inputs: before the other parameters.
fn find_tx(function: &Function, diagnostics: &mut Diagnostics) -> Option<usize> {
    let ident = &function.sig.ident;
    let selves = usize::from(function.receiver().is_some());
    let after = if selves == 1 { "right after `self`" } else { "first" };
    let found = function.typed_params().enumerate().find_map(|(at, param)| {
        let (ty, by_reference, mutable) = match &*param.ty {
            Type::Reference(reference) => (&*reference.elem, true, reference.mutability.is_some()),
            ty => (ty, false, false),
        };
        let is_tx = matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Tx"));
        is_tx.then_some((at, param, by_reference, mutable))
    });
    let Some((at, param, by_reference, mutable)) = found else {
        let message = format!("`{ident}` doesn't take its transaction: write `tx: &Tx` {after}");
        match function.typed_params().next() {
            Some(first) => diagnostics.error(first, message),
            None => diagnostics.error(ident, message),
        }
        return None;
    };
    if !by_reference || mutable {
        let message = format!(
            "`{ident}` takes its transaction as `{}`: it is lent, so write `tx: &Tx`",
            show(&param.ty)
        );
        diagnostics.error(&param.ty, message);
        return None;
    }
    if at > 0 {
        diagnostics.error(param, format!("`{ident}` takes `{}` too late: write it {after}", show(param)));
    }
    Some(at + selves)
}

fn read_on(args: &mut Args, function: &Function, diagnostics: &mut Diagnostics) -> Option<Expr> {
    let is_said = args.has("on");
    let on = args.expr("on", "on = self.tcc", diagnostics);
    if on.is_some() || is_said {
        return on;
    }
    let Some(receiver) = function.receiver() else {
        let ident = &function.sig.ident;
        let message = format!(
            "`{ident}` has no `self` to find its coordinator in: take it as a parameter and name it, as in \
             `#[transactional(on = tcc)]`"
        );
        diagnostics.error(ident, message);
        return None;
    };
    // The user's own `self`: another would be a stranger to her method.
    let this = receiver.self_token;
    let field = Ident::new("tcc", Span::call_site());
    Some(syn::parse_quote!(#this.#field))
}

fn read_key(args: &mut Args, diagnostics: &mut Diagnostics) -> Option<KeyedBy> {
    let is_keyed = args.has("key");
    if !is_keyed {
        for (name, what) in
            [("request", "says what a repeat is compared by"), ("reuse_after_cancel", "concerns a key")]
        {
            if let Some(arg) = args.take(name) {
                let message = format!("`{name}` {what}, but there is no key: add `key = …`, or leave it out");
                diagnostics.error(&arg.name, message);
            }
        }
        return None;
    }
    let key = args.expr("key", "key = order.id", diagnostics).filter(|key| !is_constant(key, diagnostics));
    let request = args.expr("request", "request = order", diagnostics);
    let reuse_after_cancel = args.flag("reuse_after_cancel", diagnostics);
    Some(KeyedBy { key: key?, request, reuse_after_cancel })
}

/// Whether a key is a literal, which would make all calls one.
fn is_constant(key: &Expr, diagnostics: &mut Diagnostics) -> bool {
    let literal = match key {
        Expr::Lit(literal) => &literal.lit,
        Expr::Paren(inner) => return is_constant(&inner.expr, diagnostics),
        Expr::Group(inner) => return is_constant(&inner.expr, diagnostics),
        Expr::Reference(inner) => return is_constant(&inner.expr, diagnostics),
        Expr::Unary(inner) => return is_constant(&inner.expr, diagnostics),
        _ => return false,
    };
    // What is quoted may be what was meant.
    let meant = match literal {
        Lit::Str(text) => text.parse::<Expr>().ok().filter(|expr| root(expr).is_some()).map(show),
        _ => None,
    };
    let meant = meant.as_deref().unwrap_or("order.id");
    diagnostics.error(key, format!("the key is the same for every call: write `key = {meant}`"));
    true
}

impl Transactional {
    /// Whether the coordinator can be borrowed while the body runs: it is reached through a shared `self`. Otherwise the
    /// body may move or change what it is part of.
    pub(crate) fn borrows_coordinator(&self) -> bool {
        let shared = self.function.receiver().is_some_and(is_shared);
        shared && self.on.as_ref().is_some_and(|on| mentions(on.to_token_stream(), &|word| word == "self"))
    }

    /// Whether the attribute makes use of the parameter of this number: as the coordinator, as the key or as its request. Then it is not
    /// unused if the body leaves it alone.
    pub(crate) fn is_used_beside_the_body(&self, index: usize) -> bool {
        let key = self.key.iter().flat_map(|keyed| [Some(&keyed.key), keyed.request.as_ref()]);
        let used: TokenStream =
            key.chain([self.on.as_ref()]).flatten().map(ToTokens::to_token_stream).collect();
        let is_named = self.params.get(index).is_some_and(|param| {
            let is_used = |part: &Ident| mentions(used.clone(), &|word| word == part);
            mentions(param.pat.to_token_stream(), &is_used)
        });
        let keyed_by_all = self.key.as_ref().is_some_and(|keyed| keyed.request.is_none());
        is_named || keyed_by_all && self.request_params().any(|(request, _)| request == index)
    }

    /// The parameters that a key stands for by default, with their numbers: all but the one that the coordinator is part
    /// of.
    pub(crate) fn request_params(&self) -> impl Iterator<Item = (usize, &PatType)> {
        let root = self.on.as_ref().and_then(root);
        self.params.iter().enumerate().filter(move |(_, param)| {
            !root.is_some_and(|root| mentions(param.pat.to_token_stream(), &|word| word == root))
        })
    }
}

/// The variable that an expression starts from: `app` of `&app.tcc`.
fn root(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) => path.path.get_ident(),
        Expr::Field(field) => root(&field.base),
        Expr::MethodCall(call) => root(&call.receiver),
        Expr::Reference(reference) => root(&reference.expr),
        Expr::Unary(unary) => root(&unary.expr),
        Expr::Paren(paren) => root(&paren.expr),
        Expr::Index(index) => root(&index.expr),
        _ => None,
    }
}

/// The parameter's name, if it has a plain one.
pub(crate) fn plain_name(param: &PatType) -> Option<&Ident> {
    match &*param.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(&pat.ident),
        _ => None,
    }
}
