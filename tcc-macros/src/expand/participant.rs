//! A participant: its actions' types, its handlers, its stub.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Path;

use super::{at, doc, duration, participant_trait};
use crate::model::participant::{Action, Given, Kind, Participant, Phases, Returns, Settle};
use crate::syntax::plain;

pub(super) fn expand(participant: &Participant) -> TokenStream {
    let actions = participant.actions.iter().map(|action| {
        let action_type = action_type(participant, action);
        let handler = handler(participant, action);
        quote!(#action_type #handler)
    });
    let of_trait = match &participant.kind {
        Kind::Type { .. } => None,
        Kind::Trait { vis } => Some(participant_trait::client_and_service(participant, vis)),
    };
    let service = service(participant);
    let stub = stub(participant);
    quote!(#(#actions)* #of_trait #service #stub)
}

/// What does the actions: `impl<#params> … for #ty #bounds`.
struct Does {
    params: TokenStream,
    ty: TokenStream,
    bounds: TokenStream,
}

impl Does {
    fn of(participant: &Participant) -> Self {
        match &participant.kind {
            Kind::Type { self_ty, generics } => {
                // It is so, or else that is said once, here or where it is registered, and not of each method.
                let span = at(participant.ident.span());
                let own = generics.where_clause.iter().flat_map(|bounds| &bounds.predicates);
                // Of a type without parameters it is known.
                let is_static = (!generics.params.is_empty()).then(|| quote_spanned!(span=> + 'static));
                let shared =
                    quote_spanned!(span=> #self_ty: ::core::marker::Send + ::core::marker::Sync #is_static);
                Self {
                    params: generics.split_for_impl().0.to_token_stream(),
                    ty: self_ty.to_token_stream(),
                    bounds: quote!(where #(#own,)* #shared),
                }
            }
            Kind::Trait { .. } => {
                let service = participant_trait::service_name(&participant.ident);
                let ident = ours(&participant.ident);
                Self { params: quote!(<__S: #ident>), ty: quote!(#service<__S>), bounds: TokenStream::new() }
            }
        }
    }
}

/// What the action is: `InventoryReserve`.
fn action_type(participant: &Participant, action: &Action) -> TokenStream {
    let Participant { tcc, ident: service, .. } = participant;
    let Action { ident, name, version, vis, docs, cfgs, request, .. } = action;
    let ident = ours(ident);
    let summary = doc(&format!("The action `{name}` of [`{service}`], version {version}."));
    let separator = (!docs.is_empty()).then(|| doc(""));
    let request = &request.ty;
    let (output, error) = answer(participant, action);
    let on_confirm = matches!(action.phases, Phases::OnConfirm { .. }).then(|| {
        quote!(
            const ON_CONFIRM: ::core::primitive::bool = true;
        )
    });
    let tries = action.tries.map(|tries| {
        quote!(
            const TRIES: ::core::primitive::u32 = #tries;
        )
    });
    let timeout = action.timeout.map(|timeout| {
        let timeout = duration(timeout);
        quote! {
            const TIMEOUT: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(#timeout);
        }
    });
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #summary
        #separator
        #(#docs)*
        #[allow(dead_code, unreachable_pub)]
        #vis struct #ident;

        #(#cfgs)*
        #[automatically_derived]
        impl #tcc::ActionType for #ident {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u16 = #version;
            #on_confirm
            #timeout
            #tries
            type Request = #request;
            type Output = #output;
            type Error = #error;
        }
    }
}

/// What the action's try returns, and what it refuses with. Never by way of the action's own type: it may be private
/// where the stub is used.
fn answer(participant: &Participant, action: &Action) -> (TokenStream, TokenStream) {
    let tcc = &participant.tcc;
    match &action.phases {
        Phases::OnConfirm { .. } | Phases::Try { returns: Returns::Unknown, .. } => {
            (quote!(()), quote!(#tcc::Never))
        }
        Phases::Try { returns: Returns::Tried { output, error }, .. } => (output.clone(), error.clone()),
        Phases::Try { returns: Returns::Other(ty), .. } => {
            let span = at(action.returns_span);
            (
                quote_spanned!(span=> <#ty as #tcc::__private::TryAnswer>::Output),
                quote_spanned!(span=> <#ty as #tcc::__private::TryAnswer>::Error),
            )
        }
    }
}

/// How the service does it: by its own methods.
fn handler(participant: &Participant, action: &Action) -> TokenStream {
    let tcc = &participant.tcc;
    let Action { ident, cfgs, .. } = action;
    let ident = ours(ident);
    let Does { params, ty, bounds } = Does::of(participant);
    let (output, error) =
        (quote!(<#ident as #tcc::ActionType>::Output), quote!(<#ident as #tcc::ActionType>::Error));

    let done = quote!(::core::future::ready(::core::result::Result::Ok(())));
    let unsound = quote!(::core::future::pending());
    let calls = |method: &Ident, cx, payloads: &[TokenStream], returns| {
        let span = at(returns);
        let cx = Ident::new("__cx", at(cx));
        match participant.kind {
            Kind::Type { .. } => quote_spanned!(span=> Self::#method(self, #cx #(, #payloads)*)),
            Kind::Trait { .. } => {
                let name = ours(&participant.ident);
                quote_spanned!(span=> <__S as #name>::#method(&self.0, #cx #(, #payloads)*))
            }
        }
    };
    let settles = |settle: &Option<Box<Settle>>| match settle {
        _ if !action.is_sound => unsound.clone(),
        Some(settle) => {
            let payloads = [given(tcc, "Request", &settle.request), given(tcc, "Output", &settle.output)];
            let call = calls(&settle.method, settle.cx, &payloads, settle.returns);
            settled(tcc, settle.is_settled, settle.returns, call)
        }
        None => done.clone(),
    };
    let own = || {
        let request = Ident::new("__request", at(action.cx_span));
        calls(&action.method, action.cx_span, &[quote!(#request)], action.returns_span)
    };
    let (tries, confirms, cancels) = match &action.phases {
        _ if !action.is_sound => (unsound.clone(), unsound.clone(), unsound.clone()),
        Phases::Try { confirm, cancel, .. } => (own(), settles(confirm), settles(cancel)),
        Phases::OnConfirm { is_settled } => {
            (done.clone(), settled(tcc, *is_settled, action.returns_span, own()), done.clone())
        }
    };

    let span_of = |settle: &Option<Box<Settle>>| {
        settle.as_ref().map_or(action.method.span(), |settle| settle.method.span())
    };
    let (try_span, confirm_span, cancel_span) = match &action.phases {
        Phases::Try { confirm, cancel, .. } => (action.method.span(), span_of(confirm), span_of(cancel)),
        Phases::OnConfirm { .. } => (action.method.span(), action.method.span(), action.method.span()),
    };
    let param = |name| Ident::new(name, Span::mixed_site());
    let (cx, request, out) = (param("__cx"), param("__request"), param("__output"));
    let future = |span: Span, output: TokenStream| quote_spanned!(at(span)=> impl ::core::future::Future<Output = #output> + ::core::marker::Send);
    let tried = future(try_span, quote!(#tcc::Tried<#output, #error>));
    let confirmed = future(confirm_span, quote!(#tcc::Settled));
    let cancelled = future(cancel_span, quote!(#tcc::Settled));
    let request_type = quote!(<#ident as #tcc::ActionType>::Request);
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated, trivial_bounds, unused_variables)]
        impl #params #tcc::Handler<#ident> for #ty #bounds {
            fn r#try(&self, #cx: &#tcc::Branch, #request: #request_type) -> #tried {
                #tries
            }

            fn confirm(&self, #cx: &#tcc::Branch, #request: #request_type, #out: #output) -> #confirmed {
                #confirms
            }

            fn cancel(
                &self,
                #cx: &#tcc::Branch,
                #request: #request_type,
                #out: ::core::option::Option<#output>,
            ) -> #cancelled {
                #cancels
            }
        }
    }
}

/// A payload of the handler as a method takes it. If its type is another one, that is said at it.
fn given(tcc: &Path, what: &str, taken: &Given) -> TokenStream {
    let span = at(taken.span);
    let name = Ident::new(if what == "Request" { "__request" } else { "__output" }, span);
    let Some(ty) = &taken.otherwise else { return quote!(#name) };
    let (tcc, what) = (path_at(tcc, span), Ident::new(what, span));
    quote_spanned!(span=> #tcc::__private::#what::<#ty>::given(#name))
}

/// What a method answers, under its own name if it is another's.
fn settled(tcc: &Path, is_settled: bool, returns: Span, call: TokenStream) -> TokenStream {
    if is_settled {
        return call;
    }
    let span = at(returns);
    let tcc = path_at(tcc, span);
    quote_spanned!(span=> async move { #tcc::__private::SettleAnswer::settled(#call.await) })
}

/// A path, shown at the user's code.
fn path_at(path: &Path, span: Span) -> TokenStream {
    let respan = |mut token: TokenTree| {
        token.set_span(token.span().located_at(span));
        token
    };
    path.to_token_stream().into_iter().map(respan).collect()
}

/// What registers all handlers.
fn service(participant: &Participant) -> TokenStream {
    let Participant { tcc, actions, cfgs, .. } = participant;
    let Does { params, ty, bounds } = Does::of(participant);
    let adds = actions.iter().map(|action| {
        let Action { ident, cfgs, upcasts, .. } = action;
        let ident = ours(ident);
        let this = quote_spanned!(Span::mixed_site()=> ::core::clone::Clone::clone(&self));
        let upcasts = upcasts.iter().map(|upcast| {
            let (version, request) = (upcast.version, &upcast.request);
            let same = || quote!(<#ident as #tcc::ActionType>::Output);
            let output = upcast.output.clone().unwrap_or_else(same);
            // Nothing that is wrong with it is shown at the method.
            let mut ident = ident.clone();
            ident.set_span(Span::mixed_site());
            quote_spanned! {Span::mixed_site()=>
                #(#cfgs)*
                #tcc::Registry::add_upcast::<#ident, #request, #output, Self>(__registry, #version, #this);
            }
        });
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #tcc::Registry::add::<#ident, Self>(__registry, #this);
            #(#upcasts)*
        }
    });
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated, trivial_bounds)]
        impl #params #tcc::Service for #ty #bounds {
            fn register(self: ::std::sync::Arc<Self>, __registry: &mut #tcc::Registry) {
                #(#adds)*
            }
        }
    }
}

/// What a transaction calls.
fn stub(participant: &Participant) -> TokenStream {
    let Participant { tcc, name, ident: service, actions, cfgs, kind, .. } = participant;
    let stub = format_ident!("{}Stub", plain(service), span = at(service.span()));
    let summary =
        doc(&format!("The actions of [`{service}`] as branches of a transaction: what `tx.on` returns."));
    let (params, called, bounds, vis) = match kind {
        Kind::Type { generics, .. } => {
            let Does { params, ty, bounds } = Does::of(participant);
            let own = || generics.where_clause.to_token_stream();
            let bounds = if generics.params.is_empty() { own() } else { bounds };
            (params, ty, bounds, quote!(pub))
        }
        Kind::Trait { vis } => {
            let client = participant_trait::client_name(service);
            (TokenStream::new(), quote!(#client), TokenStream::new(), quote!(#vis))
        }
    };
    let methods = actions.iter().map(|action| {
        let Action { ident, docs, cfgs, deprecated, method, request, .. } = action;
        let ident = ours(ident);
        let (request, ty) = (&request.ident, &request.ty);
        let docs =
            if docs.is_empty() { doc(&format!("Calls `{}`.", action.name)) } else { quote!(#(#docs)*) };
        let (answer, call) = match action.phases {
            Phases::Try { .. } => {
                let (output, error) = answer(participant, action);
                (
                    quote!(::core::result::Result<#output, #tcc::BranchError<#error>>),
                    quote_spanned!(Span::mixed_site()=> #tcc::Tx::call::<#ident>(self.0, #request)),
                )
            }
            Phases::OnConfirm { .. } => (
                quote!(::core::result::Result<(), #tcc::TransactionError>),
                quote_spanned! {Span::mixed_site()=>
                    let __tx = self.0;
                    async move { #tcc::Tx::enlist::<#ident>(__tx, #request) }
                },
            ),
        };
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #docs
            #(#deprecated)*
            pub fn #method(
                &self,
                #request: #ty,
            ) -> impl ::core::future::Future<Output = #answer> + ::core::marker::Send + use<'t> {
                #call
            }
        }
    });
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #summary
        #[allow(dead_code, unreachable_pub)]
        #vis struct #stub<'t>(&'t #tcc::Tx);

        #(#cfgs)*
        #[allow(dead_code, unreachable_pub, private_interfaces)]
        impl<'t> #stub<'t> {
            #(#methods)*
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #params #tcc::Participant for #called #bounds {
            const NAME: &'static ::core::primitive::str = #name;
            type Stub<'t> = #stub<'t>;

            fn stub(__tx: &#tcc::Tx) -> #stub<'_> {
                #stub(__tx)
            }
        }
    }
}

/// The same name, our own, shown at the user's code.
pub(super) fn ours(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(at(ident.span()));
    ident
}
