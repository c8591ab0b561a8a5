//! A participant: its actions' types, its handlers, its stub.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};

use super::{at, doc, duration, participant_trait};
use crate::model::participant::{Action, Kind, Participant, Phases, Returns, Settle};
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
            Kind::Type { self_ty, generics } if generics.params.is_empty() => {
                // It is so, or else that is said once, here, and not of each method.
                let span = at(participant.ident.span());
                let own = generics.where_clause.iter().flat_map(|bounds| &bounds.predicates);
                let shared = quote_spanned!(span=> #self_ty: ::core::marker::Send + ::core::marker::Sync);
                Self {
                    params: TokenStream::new(),
                    ty: self_ty.to_token_stream(),
                    bounds: quote!(where #(#own,)* #shared),
                }
            }
            Kind::Type { self_ty, generics } => {
                let (params, _, bounds) = generics.split_for_impl();
                Self {
                    params: params.to_token_stream(),
                    ty: self_ty.to_token_stream(),
                    bounds: bounds.to_token_stream(),
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
    let on_confirm = matches!(action.phases, Phases::OnConfirm).then(|| {
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
        Phases::OnConfirm | Phases::Try { returns: Returns::Unknown, .. } => {
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
    let calls = |method: &Ident, cx, request, output: Option<Span>, returns| {
        let span = at(returns);
        let [cx, request] =
            [("__cx", cx), ("__request", request)].map(|(name, span)| Ident::new(name, at(span)));
        let output = output.map(|span| Ident::new("__output", at(span))).into_iter();
        match participant.kind {
            Kind::Type { .. } => quote_spanned!(span=> Self::#method(self, #cx, #request #(, #output)*)),
            Kind::Trait { .. } => {
                let name = ours(&participant.ident);
                quote_spanned!(span=> <__S as #name>::#method(&self.0, #cx, #request #(, #output)*))
            }
        }
    };
    let settles = |settle: &Option<Settle>| match settle {
        _ if !action.is_sound => unsound.clone(),
        Some(settle) => calls(&settle.method, settle.cx, settle.request, Some(settle.output), settle.returns),
        None => done.clone(),
    };
    let own = || calls(&action.method, action.cx_span, action.cx_span, None, action.returns_span);
    let (tries, confirms, cancels) = match &action.phases {
        _ if !action.is_sound => (unsound.clone(), unsound.clone(), unsound.clone()),
        Phases::Try { confirm, cancel, .. } => (own(), settles(confirm), settles(cancel)),
        Phases::OnConfirm => (done.clone(), own(), done.clone()),
    };

    let span_of =
        |settle: &Option<Settle>| settle.as_ref().map_or(action.method.span(), |settle| settle.method.span());
    let (try_span, confirm_span, cancel_span) = match &action.phases {
        Phases::Try { confirm, cancel, .. } => (action.method.span(), span_of(confirm), span_of(cancel)),
        Phases::OnConfirm => (action.method.span(), action.method.span(), action.method.span()),
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
        Kind::Type { self_ty, generics } => {
            let (params, _, bounds) = generics.split_for_impl();
            (params.to_token_stream(), self_ty.to_token_stream(), bounds.to_token_stream(), quote!(pub))
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
            Phases::OnConfirm => (
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
