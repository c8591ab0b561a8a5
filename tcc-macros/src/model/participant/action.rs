//! The actions of a block: their attributes, and the methods that these name.

use std::collections::HashMap;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, LitInt, Type};

use super::check::{Params, is_settled, return_span};
use super::{Action, Given, Kind, Param, Phases, Returns, Settle, Upcast};
use crate::args::{self, Args, check_name};
use crate::diagnostics::{Diagnostics, nearest};
use crate::model::form::{Form, inside_option};
use crate::syntax::{Block, Function, borrows, camel, mentions, plain, show};

/// Reads all actions of a block.
pub(super) fn read(
    block: &Block,
    ident: &Ident,
    kind: &Kind,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<Action> {
    let mut reader =
        Reader { block, ident, kind, name, diagnostics, taken: HashMap::new(), types: HashMap::new() };
    block.methods().filter_map(|method| reader.action(method)).collect()
}

pub(super) struct Reader<'a> {
    pub(super) block: &'a Block,
    pub(super) ident: &'a Ident,
    pub(super) kind: &'a Kind,
    /// The participant's.
    name: &'a str,
    pub(super) diagnostics: &'a mut Diagnostics,
    /// The methods that have an action of this name and version.
    taken: HashMap<(String, u16), Taken<'a>>,
    /// The methods whose action has a type that is named so.
    types: HashMap<String, &'a Function>,
}

/// Who settles a version of an action.
#[derive(Clone)]
struct Taken<'a> {
    by: &'a Function,
    /// The version, where it is upcast.
    upcast: Option<LitInt>,
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
        let known = ["confirm", "cancel", "timeout", "tries", "rename", "version", "upcast"];
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
        let args =
            Args::of("on_confirm", &["timeout", "rename", "version", "upcast"], marker, self.diagnostics);
        let form = Form::of_on_confirm(method);
        let params = self.check(method, &form);
        let returns = self.has_return_type(method, &form);
        let is_sound = params.is_some() && returns;
        self.finish(method, args, params, is_sound, Phases::OnConfirm { is_settled: is_settled(method) })
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
        let tries = args.tries(self.diagnostics);
        let version = args.version(self.diagnostics).unwrap_or(1);
        let written = args.upcasts(self.diagnostics);
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
        self.check_unique(method, &name, version, None);
        let no_output = matches!(phases, Phases::OnConfirm { .. });
        let upcasts = written.into_iter().filter_map(|upcast| {
            self.check_unique(method, &name, upcast.version, Some(&upcast.at));
            self.upcast(method, version, upcast, no_output)
        });
        let upcasts = upcasts.collect();
        let params = match params {
            Some(params) => params,
            // Enough of a guess that calls on the stub are not blamed too.
            None => self.guess(method)?,
        };
        let of =
            |name: &str| method.attrs.iter().filter(|attr| attr.path().is_ident(name)).cloned().collect();
        Some(Action {
            ident: self.type_of(method)?,
            name: format!("{}.{name}", self.name),
            version,
            timeout,
            tries,
            upcasts,
            method: method.sig.ident.clone(),
            vis: match self.kind {
                Kind::Type { .. } => method.vis.clone(),
                Kind::Trait { vis } => vis.clone(),
            },
            docs: of("doc"),
            cfgs: of("cfg"),
            deprecated: of("deprecated"),
            request: Param { ident: params.request_name, ty: self.without_self(params.request) },
            cx_span: params.cx,
            returns_span: return_span(method),
            phases,
            is_sound,
        })
    }

    /// The type that stands for an action. It must not be there already.
    fn type_of(&mut self, method: &'a Function) -> Option<Ident> {
        let (of, name) = (plain(self.ident), camel(&method.sig.ident));
        let ident = format_ident!("{of}{name}", span = method.sig.ident.span());
        let made: &[_] = match self.kind {
            Kind::Type { .. } => &["Stub"],
            Kind::Trait { .. } => &["Stub", "Client", "Service"],
        };
        let of_whom = if made.contains(&name.as_str()) {
            Some(format!("is made for `{of}` itself"))
        } else if method.is_conditional() {
            None
        } else {
            self.types.insert(name, method).map(|before| format!("stands for `{}` already", before.sig.ident))
        };
        let Some(of_whom) = of_whom else { return Some(ident) };
        let persisted = plain(&method.sig.ident);
        let message = format!(
            "the type of this action would be `{ident}`, which {of_whom}: give the method another name, and keep what is \
             persisted with `rename = \"{persisted}\"`"
        );
        self.diagnostics.error(&method.sig.ident, message);
        None
    }

    /// A name and a version stand for one action: else the log could be read in two ways.
    fn check_unique(&mut self, method: &'a Function, name: &str, version: u16, upcast: Option<&LitInt>) {
        if method.is_conditional() {
            return;
        }
        let taken = Taken { by: method, upcast: upcast.cloned() };
        let Some(before) = self.taken.insert((name.to_owned(), version), taken) else { return };
        let (first, this) = (&before.by.sig.ident, &method.sig.ident);
        let action = format!("\"{}.{name}\" version {version}", self.name);
        match (before.upcast, upcast) {
            (None, None) => {
                let hint = "give one of them another `rename` or `version`";
                self.diagnostics
                    .error(this, format!("`{first}` and `{this}` are both the action {action}: {hint}"));
            }
            (Some(_), Some(at)) => {
                self.diagnostics.error(at, format!("the action {action} is upcast twice: keep one of them"));
            }
            (None, Some(at)) if first != this => {
                self.diagnostics.error(at, handled(&action, this, first));
            }
            // It is of its own version, and that is said where it is read.
            (None, Some(_)) => {}
            (Some(at), None) => self.diagnostics.error(at, handled(&action, first, this)),
        }
    }

    fn upcast(
        &mut self,
        method: &Function,
        version: u16,
        written: args::Upcast,
        no_output: bool,
    ) -> Option<Upcast> {
        let ident = &method.sig.ident;
        let from = written.version;
        if from >= version {
            let message = if version == 1 {
                format!(
                    "`{ident}` is of version 1, which has none before it to upcast: add `version = {}`",
                    from.saturating_add(1)
                )
            } else {
                format!(
                    "`{ident}` is of version {version}: only what is older can be upcast to it, from a version below {version}"
                )
            };
            self.diagnostics.error(&written.at, message);
            return None;
        }
        let mut ok = true;
        self.check_payload("old request", &written.request, ident, &mut ok);
        match &written.output {
            Some(output) if no_output => {
                let hint = format!("write `upcast({from}: {})`", show(&written.request));
                self.diagnostics.error(output, format!("`{ident}` has no try, and so no output: {hint}"));
                ok = false;
            }
            Some(output) => self.check_payload("old output", output, ident, &mut ok),
            None => {}
        }
        ok.then(|| Upcast {
            version: from,
            request: self.without_self(written.request),
            output: written.output.map(|output| self.without_self(output)),
        })
    }

    /// The method that confirms or cancels.
    fn settle(
        &mut self,
        name: &Ident,
        action: &Function,
        tried: &Form,
        cancels: bool,
    ) -> Option<Box<Settle>> {
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
        let asked = action.typed_params().nth(1).map(|param| param.ty.to_token_stream());
        let same = match &form.output {
            Some(expected) if cancels => Some(quote!(Option<#expected>)),
            expected => expected.clone(),
        };
        Some(Box::new(Settle {
            method: name.clone(),
            cx: params.cx,
            request: self.taken(asked, &params.request),
            output: self.taken(same, output),
            returns: return_span(method),
            is_settled: is_settled(method),
        }))
    }

    /// A payload as a method takes it, where the try's is `same`, if that is known.
    fn taken(&self, same: Option<TokenStream>, written: &Type) -> Given {
        let ty = self.without_self(written);
        let is_same = same.is_some_and(|same| self.without_self(same).to_string() == ty.to_string());
        // Left to rustc: what can't be written elsewhere, and a pointer, which may take what is not of its type.
        let odd = ["impl", "_", "Self", "dyn", "Box", "Rc", "Arc"];
        let is_plain = !borrows(written) && !mentions(ty.clone(), &|word| odd.iter().any(|odd| word == odd));
        Given { span: written.span(), otherwise: (!is_same && is_plain).then_some(ty) }
    }

    /// Whether an `Option` is missing from a cancel, or too much in a confirm. Aliases are left to rustc.
    fn is_optional_by_mistake(&self, expected: &TokenStream, written: &Type, cancels: bool) -> bool {
        let expected = self.without_self(expected).to_string();
        let bare = if cancels { Some(written.to_token_stream()) } else { inside_option(written) };
        bare.is_some_and(|bare| self.without_self(bare).to_string() == expected)
    }
}

fn handled(action: &str, upcaster: &Ident, handler: &Ident) -> String {
    format!("`{upcaster}` upcasts the action {action}, which `{handler}` handles: keep one of them")
}
