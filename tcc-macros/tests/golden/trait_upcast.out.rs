#[cfg(feature = "mail")]
pub trait Mail: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn send(
        &self,
        _: &Branch,
        letter: Letter,
    ) -> impl ::core::future::Future<Output = Settled> + ::core::marker::Send;
}
#[cfg(feature = "mail")]
/// The action `mail.send` of [`Mail`], version 2.
#[allow(dead_code, unreachable_pub)]
pub struct MailSend;
#[cfg(feature = "mail")]
#[automatically_derived]
impl shop::tcc::ActionType for MailSend {
    const NAME: &'static ::core::primitive::str = "mail.send";
    const VERSION: ::core::primitive::u16 = 2u16;
    const ON_CONFIRM: ::core::primitive::bool = true;
    type Request = Letter;
    type Output = ();
    type Error = shop::tcc::Never;
}
#[cfg(feature = "mail")]
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl<__S: Mail> shop::tcc::Handler<MailSend> for MailService<__S> {
    fn r#try(
        &self,
        __cx: &shop::tcc::Branch,
        __request: <MailSend as shop::tcc::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = shop::tcc::Tried<
            <MailSend as shop::tcc::ActionType>::Output,
            <MailSend as shop::tcc::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
    fn confirm(
        &self,
        __cx: &shop::tcc::Branch,
        __request: <MailSend as shop::tcc::ActionType>::Request,
        __output: <MailSend as shop::tcc::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = shop::tcc::Settled,
    > + ::core::marker::Send {
        <__S as Mail>::send(&self.0, __cx, __request)
    }
    fn cancel(
        &self,
        __cx: &shop::tcc::Branch,
        __request: <MailSend as shop::tcc::ActionType>::Request,
        __output: ::core::option::Option<<MailSend as shop::tcc::ActionType>::Output>,
    ) -> impl ::core::future::Future<
        Output = shop::tcc::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
}
#[cfg(feature = "mail")]
/// The participant `mail`, as transactions call it: `tx.on::<MailClient>()`. [`Mail`] is what serves it.
#[allow(dead_code, unreachable_pub)]
pub struct MailClient;
#[cfg(feature = "mail")]
/// A [`Mail`] as a participant that can be registered: made by [`MailClient::serve`].
#[allow(dead_code, unreachable_pub)]
pub struct MailService<S>(::std::sync::Arc<S>);
#[cfg(feature = "mail")]
const _: () = {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` does not implement `Mail`",
        label = "it can't serve the participant",
        note = "write `impl Mail for …`: the participant `mail` is served by what implements its trait"
    )]
    pub trait __Serve<__S, __How> {
        fn __serve(self) -> ::std::sync::Arc<__S>;
    }
    #[allow(deprecated)]
    impl<__S: Mail> __Serve<__S, shop::tcc::__private::Itself> for __S {
        fn __serve(self) -> ::std::sync::Arc<__S> {
            ::std::sync::Arc::new(self)
        }
    }
    #[allow(deprecated)]
    impl<__S: Mail> __Serve<__S, shop::tcc::__private::Shared>
    for ::std::sync::Arc<__S> {
        fn __serve(self) -> ::std::sync::Arc<__S> {
            self
        }
    }
    #[allow(dead_code, deprecated, unreachable_pub)]
    impl MailClient {
        /// Makes a participant of a [`Mail`], or of an `Arc` of one: `builder.register(MailClient::serve(service))`.
        pub fn serve<__S: Mail, __How>(
            __service: impl __Serve<__S, __How>,
        ) -> MailService<__S> {
            MailService(__Serve::__serve(__service))
        }
    }
};
#[cfg(feature = "mail")]
#[automatically_derived]
#[allow(deprecated, trivial_bounds)]
impl<__S: Mail> shop::tcc::Service for MailService<__S> {
    fn register(self: ::std::sync::Arc<Self>, __registry: &mut shop::tcc::Registry) {
        #[cfg(feature = "mail")]
        shop::tcc::Registry::add::<
            MailSend,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
        #[cfg(feature = "mail")]
        shop::tcc::Registry::add_upcast::<
            MailSend,
            String,
            <MailSend as shop::tcc::ActionType>::Output,
            Self,
        >(__registry, 1u16, ::core::clone::Clone::clone(&self));
    }
}
#[cfg(feature = "mail")]
/// The actions of [`Mail`] as branches of a transaction: what `tx.on` returns.
#[allow(dead_code, unreachable_pub)]
pub struct MailStub<'t>(&'t shop::tcc::Tx);
#[cfg(feature = "mail")]
#[allow(dead_code, unreachable_pub, private_interfaces)]
impl<'t> MailStub<'t> {
    #[cfg(feature = "mail")]
    /// Calls `mail.send`.
    pub fn send(
        &self,
        letter: Letter,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), shop::tcc::TransactionError>,
    > + ::core::marker::Send + use<'t> {
        let __tx = self.0;
        async move { shop::tcc::Tx::enlist::<MailSend>(__tx, letter) }
    }
}
#[cfg(feature = "mail")]
#[automatically_derived]
impl shop::tcc::Participant for MailClient {
    const NAME: &'static ::core::primitive::str = "mail";
    type Stub<'t> = MailStub<'t>;
    fn stub(__tx: &shop::tcc::Tx) -> MailStub<'_> {
        MailStub(__tx)
    }
}
