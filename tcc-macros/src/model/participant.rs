//! `#[participant]`, `#[action]` and `#[on_confirm]`: a block's actions.

use std::collections::HashMap;
use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::spanned::Spanned;
use syn::{Attribute, GenericParam, Generics, Pat, Path, ReturnType, Type, Visibility};

use super::form::{Form, inside_option, is_no_answer, tried};
use crate::args::{Args, check_name, persisted_name};
use crate::diagnostics::{Diagnostics, nearest};
use crate::syntax::{
    Block, Function, borrows, camel, is_ours, is_shared, mentions, plain, show, without_self,
};

/// A participant.
pub(crate) struct Participant {
    /// Where `tcc_core` is.
    pub(crate) tcc: Path,
    pub(crate) name: String,
    /// `Inventory<C>`, and `Inventory`.
    pub(crate) self_ty: Type,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) actions: Vec<Action>,
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
    Try { returns: Returns, confirm: Option<Settle>, cancel: Option<Settle> },
    /// The method is the confirm, and there is nothing else.
    OnConfirm,
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
    pub(crate) request: Span,
    pub(crate) output: Span,
    pub(crate) returns: Span,
}

/// Reads a block. `None` if so little of it is right that nothing can be made of it.
pub(crate) fn read(args: TokenStream, block: &Block, diagnostics: &mut Diagnostics) -> Option<Participant> {
    let mut args = Args::parse("participant", &["crate"], args, diagnostics);
    let tcc = args.tcc(diagnostics);
    let head = read_head(block, diagnostics);
    let name = match &args.first {
        Some(name) => persisted_name(name, diagnostics),
        None => {
            let example =
                head.as_ref().map_or_else(|| "inventory".to_owned(), |ident| plain(ident).to_lowercase());
            let message =
                format!("a participant has a name that is persisted: write `#[participant(\"{example}\")]`");
            diagnostics.add(syn::Error::new(Span::call_site(), message));
            None
        }
    };
    let ident = head?;
    // A stand-in, so that the actions are read, and what is wrong with them is said in the same go.
    let name = name.unwrap_or_else(|| "participant".to_owned());
    let mut reader = Reader { block, ident: &ident, name: &name, diagnostics, taken: HashMap::new() };
    let actions = block.methods().filter_map(|method| reader.action(method)).collect();
    if !block.methods().any(is_marked) {
        let message = format!(
            "`{ident}` has no action in this block: mark the method of a try with `#[action(confirm = …, cancel = …)]`, \
             or one that has no try with `#[on_confirm]`"
        );
        diagnostics.error(&block.head.self_ty, message);
    }
    let generics = block.head.generics.clone();
    Some(Participant { tcc, name, self_ty: (*block.head.self_ty).clone(), ident, generics, actions })
}

/// Takes our markers off the methods: rustc must not see them.
pub(crate) fn strip(block: &mut Block) {
    for method in block.methods_mut() {
        if is_marked(method) {
            method.attrs.retain(|attr| !is_ours(attr, "action") && !is_ours(attr, "on_confirm"));
        }
    }
}

fn is_marked(method: &Function) -> bool {
    method.marker("action").chain(method.marker("on_confirm")).next().is_some()
}

/// The name of the type, if its block may be that of a participant.
fn read_head(block: &Block, diagnostics: &mut Diagnostics) -> Option<Ident> {
    let head = &block.head;
    if let Some((path, _)) = &head.trait_ {
        let message = format!(
            "`#[participant]` stands on a block of the type's own, `impl {} {{ … }}`, not on that of a trait",
            show(&head.self_ty)
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
    Some(ident)
}

struct Reader<'a> {
    block: &'a Block,
    ident: &'a Ident,
    /// The participant's.
    name: &'a str,
    diagnostics: &'a mut Diagnostics,
    /// The methods that have an action of this name and version.
    taken: HashMap<(String, u16), &'a Function>,
}

impl<'a> Reader<'a> {
    fn action(&mut self, method: &'a Function) -> Option<Action> {
        let mut markers = method.marker("action").map(|attr| (attr, false));
        let mut on_confirms = method.marker("on_confirm").map(|attr| (attr, true));
        let (marker, on_confirm) = markers.next().or_else(|| on_confirms.next())?;
        for (extra, _) in markers.chain(on_confirms) {
            let message = format!(
                "`{}` is marked twice: one method is one action, so keep one of the marks",
                method.sig.ident
            );
            self.diagnostics.error(extra, message);
        }
        if on_confirm { self.on_confirm(method, marker) } else { self.r#try(method, marker) }
    }

    fn r#try(&mut self, method: &'a Function, marker: &Attribute) -> Option<Action> {
        let known = ["confirm", "cancel", "timeout", "rename", "version"];
        let mut args = Args::of("action", &known, marker, self.diagnostics);
        let method_name = plain(&method.sig.ident);
        let confirm = args.method("confirm", self.diagnostics).filter(|confirm| confirm != "none");
        let cancel_is_said = args.has("cancel");
        let cancel = args.method("cancel", self.diagnostics);
        if !cancel_is_said {
            let message = format!(
                "`{method_name}` doesn't say how it is cancelled: write `cancel = method`, or `cancel = none` if its try \
                 leaves nothing to undo"
            );
            self.diagnostics.error(marker, message);
        }
        let cancel = cancel.filter(|cancel| cancel != "none");

        let form = Form::of_try(method);
        let params = self.check(method, &form);
        let returns = self.returns(method, &form);
        let mut is_sound = params.is_some() && returns.is_some();
        let confirm = confirm.and_then(|name| {
            let settle = self.settle(&name, method, &form, false);
            is_sound &= settle.is_some();
            settle
        });
        let cancel = cancel.and_then(|name| {
            let settle = self.settle(&name, method, &form, true);
            is_sound &= settle.is_some();
            settle
        });
        let returns = returns.unwrap_or(Returns::Unknown);
        self.finish(method, args, params, is_sound, Phases::Try { returns, confirm, cancel })
    }

    fn on_confirm(&mut self, method: &'a Function, marker: &Attribute) -> Option<Action> {
        let args = Args::of("on_confirm", &["timeout", "rename", "version"], marker, self.diagnostics);
        let form = Form::of_on_confirm(method);
        let params = self.check(method, &form);
        let returns = self.has_return_type(method, &form);
        let is_sound = params.is_some() && returns;
        self.finish(method, args, params, is_sound, Phases::OnConfirm)
    }

    /// What all actions have in common.
    fn finish(
        &mut self,
        method: &'a Function,
        mut args: Args,
        params: Option<Params>,
        is_sound: bool,
        phases: Phases,
    ) -> Option<Action> {
        let timeout = args.duration("timeout", self.diagnostics);
        let version = args.version(self.diagnostics).unwrap_or(1);
        let renamed = args.has("rename");
        let name = match args.name("rename", self.diagnostics) {
            Some(name) => name,
            None => {
                let name = plain(&method.sig.ident);
                if !renamed && let Err(wrong) = check_name(&name) {
                    self.diagnostics
                        .error(&method.sig.ident, format!("{wrong}; give it one with `rename = \"…\"`"));
                }
                name
            }
        };
        self.check_unique(method, &name, version);
        let params = match params {
            Some(params) => params,
            // Enough of a guess that calls on the stub are not blamed too.
            None => self.guess(method)?,
        };
        let self_ty = &self.block.head.self_ty;
        let of =
            |name: &str| method.attrs.iter().filter(|attr| attr.path().is_ident(name)).cloned().collect();
        Some(Action {
            ident: format_ident!(
                "{}{}",
                plain(self.ident),
                camel(&method.sig.ident),
                span = method.sig.ident.span()
            ),
            name: format!("{}.{name}", self.name),
            version,
            timeout,
            method: method.sig.ident.clone(),
            vis: method.vis.clone(),
            docs: of("doc"),
            cfgs: of("cfg"),
            deprecated: of("deprecated"),
            request: Param {
                ident: params.request_name,
                ty: without_self(params.request.into_token_stream(), self_ty),
            },
            cx_span: params.cx,
            returns_span: return_span(method),
            phases,
            is_sound,
        })
    }

    /// A name and a version stand for one action: else the log could be read in two ways.
    fn check_unique(&mut self, method: &'a Function, name: &str, version: u16) {
        if method.is_conditional() {
            return;
        }
        let Some(before) = self.taken.insert((name.to_owned(), version), method) else { return };
        let message = format!(
            "`{}` and `{}` are both the action \"{}.{name}\" version {version}: give one of them another `rename` or `version`",
            before.sig.ident, method.sig.ident, self.name
        );
        self.diagnostics.error(&method.sig.ident, message);
    }

    /// Checks all of a method but what it returns.
    fn check(&mut self, method: &Function, form: &Form) -> Option<Params> {
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

    fn check_payload(&mut self, what: &str, ty: &Type, ident: &Ident, ok: &mut bool) {
        if let Some(wrong) = self.unfit(ty) {
            *ok = false;
            self.diagnostics.error(ty, format!("the {what} of `{ident}`, `{}`, {wrong}", show(ty)));
        }
    }

    /// Why a type can't be a payload. One is written to the log, and read back by whoever settles.
    fn unfit(&self, ty: &Type) -> Option<&'static str> {
        let generic = |word: &Ident| {
            self.block.head.generics.params.iter().any(|param| match param {
                GenericParam::Type(param) => param.ident == *word || word == "Self",
                GenericParam::Const(param) => param.ident == *word || word == "Self",
                GenericParam::Lifetime(_) => false,
            })
        };
        let tokens = || ty.to_token_stream();
        if mentions(tokens(), &|word| word == "impl" || word == "_") {
            Some("is not one type: name it, since it is persisted and read back")
        } else if borrows(ty) {
            Some("borrows: it is persisted and read back, so let it own its data (`String`, not `&str`)")
        } else if mentions(tokens(), &generic) {
            Some(
                "depends on a parameter of the `impl`: it is persisted under one name, so let it be one type",
            )
        } else {
            None
        }
    }

    /// The request of a method whose parameters are not in order.
    fn guess(&self, method: &Function) -> Option<Params> {
        let request = method.typed_params().filter(|param| self.unfit(&param.ty).is_none()).last()?;
        method.sig.generics.params.is_empty().then(|| Params {
            cx: Span::call_site(),
            request_name: param_name(&request.pat),
            request: (*request.ty).clone(),
            output: None,
        })
    }

    fn has_return_type(&mut self, method: &Function, form: &Form) -> bool {
        let returns = matches!(method.sig.output, ReturnType::Type(..));
        if !returns {
            let message =
                format!("`{}` returns nothing: {} `{}`", method.sig.ident, form.is_written, form.text);
            self.diagnostics.error(&method.sig.ident, message);
        }
        returns
    }

    fn returns(&mut self, method: &Function, form: &Form) -> Option<Returns> {
        if !self.has_return_type(method, form) {
            return None;
        }
        let ReturnType::Type(_, ty) = &method.sig.output else { return None };
        let self_ty = &self.block.head.self_ty;
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
            return Some(Returns::Other(without_self(ty.to_token_stream(), self_ty)));
        };
        let mut ok = true;
        self.check_payload("output", output, &method.sig.ident, &mut ok);
        self.check_payload("refusal", error, &method.sig.ident, &mut ok);
        let own = |ty: &Type| without_self(ty.to_token_stream(), self_ty);
        ok.then(|| Returns::Tried { output: own(output), error: own(error) })
    }

    /// The method that confirms or cancels.
    fn settle(&mut self, name: &Ident, action: &Function, tried: &Form, cancels: bool) -> Option<Settle> {
        let form = Form::of_settle(name, action, tried, cancels);
        let Some(method) = self.block.methods().find(|method| method.sig.ident == *name) else {
            let all = self.block.methods().map(|method| plain(&method.sig.ident)).collect::<Vec<_>>();
            let others = all.iter().map(String::as_str).filter(|other| *other != plain(&action.sig.ident));
            let hint = match nearest(&plain(name), others) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("write `{}` here", form.text),
            };
            self.diagnostics.error(name, format!("there is no method `{name}` in this block: {hint}"));
            return None;
        };
        let params = self.check(method, &form)?;
        let output = params.output.as_ref()?;
        if let Some(expected) = &form.output
            && self.is_optional_by_mistake(expected, output, cancels)
        {
            let why = if cancels {
                format!(
                    "`{name}` takes the output as `{}`, but the try may never have answered",
                    show(output)
                )
            } else {
                format!("`{name}` takes the output as `{}`, but a confirm always has it", show(output))
            };
            self.diagnostics.error(output, format!("{why}: {} `{}`", form.is_written, form.text));
            return None;
        }
        if !self.has_return_type(method, &form) {
            return None;
        }
        Some(Settle {
            method: name.clone(),
            cx: params.cx,
            request: params.request.span(),
            output: output.span(),
            returns: return_span(method),
        })
    }

    /// Whether an `Option` is missing from a cancel, or too much in a confirm. Aliases are left to rustc.
    fn is_optional_by_mistake(&self, expected: &TokenStream, written: &Type, cancels: bool) -> bool {
        let self_ty = &self.block.head.self_ty;
        let expected = without_self(expected.clone(), self_ty).to_string();
        let bare = if cancels { Some(written.to_token_stream()) } else { inside_option(written) };
        bare.is_some_and(|bare| without_self(bare, self_ty).to_string() == expected)
    }
}

/// What a method is called with.
struct Params {
    cx: Span,
    request_name: Ident,
    request: Type,
    output: Option<Type>,
}

fn param_name(pat: &Pat) -> Ident {
    match pat {
        Pat::Ident(pat) => pat.ident.clone(),
        _ => Ident::new("__request", Span::mixed_site()),
    }
}

fn return_span(method: &Function) -> Span {
    match &method.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => method.sig.ident.span(),
    }
}
