//! The arguments of an attribute.

mod upcast;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Lit, LitStr, Path, Token, parenthesized, token};

use crate::diagnostics::{Diagnostics, listed, nearest};
use crate::syntax::{plain, show};

pub(crate) use upcast::Upcast;

const MAX_NAME: usize = 64;
const MAX_TRIES: u32 = 100;
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The arguments of one attribute, each known and given once.
pub(crate) struct Args {
    attribute: &'static str,
    /// What stands first without a name: that of a participant.
    pub(crate) first: Option<Expr>,
    named: Vec<Arg>,
}

/// `name = value`, `name(inside)`, or a bare `name`.
pub(crate) struct Arg {
    pub(crate) name: Ident,
    pub(crate) value: Option<Expr>,
    pub(crate) inside: Option<TokenStream>,
}

impl ToTokens for Arg {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.name.to_tokens(tokens);
        self.value.to_tokens(tokens);
        self.inside.to_tokens(tokens);
    }
}

impl Args {
    /// Reads the arguments, and reports those that are not `known`, or are given twice.
    pub(crate) fn parse(
        attribute: &'static str,
        known: &[&str],
        tokens: TokenStream,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut args = Self { attribute, first: None, named: Vec::new() };
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let named =
                    input.peek(syn::Ident::peek_any) && (input.peek2(Token![=]) || !args.expects_first());
                if !named {
                    let value: Expr = input.parse()?;
                    if args.expects_first() {
                        args.first = Some(value);
                    } else {
                        let known = listed(known);
                        diagnostics.error(
                            &value,
                            format!(
                                "`{}` has no name: `#[{attribute}]` takes {known}, each by its name",
                                show(&value)
                            ),
                        );
                    }
                } else {
                    let name = input.call(Ident::parse_any)?;
                    let value = if input.parse::<Option<Token![=]>>()?.is_some() {
                        Some(input.parse()?)
                    } else {
                        None
                    };
                    let inside = if value.is_none() && input.peek(token::Paren) {
                        let inside;
                        parenthesized!(inside in input);
                        Some(inside.parse()?)
                    } else {
                        None
                    };
                    args.add(Arg { name, value, inside }, known, diagnostics);
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        if let Err(error) = Parser::parse2(parser, tokens) {
            diagnostics.add(error);
        }
        args
    }

    /// The arguments of an attribute that stands on a method: `#[action]` or `#[action(…)]`.
    pub(crate) fn of(
        attribute: &'static str,
        known: &[&str],
        attr: &syn::Attribute,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let tokens = match &attr.meta {
            syn::Meta::Path(_) => TokenStream::new(),
            syn::Meta::List(list) => list.tokens.clone(),
            syn::Meta::NameValue(pair) => {
                diagnostics.error(pair, format!("`#[{attribute}]` takes its arguments in parentheses"));
                TokenStream::new()
            }
        };
        Self::parse(attribute, known, tokens, diagnostics)
    }

    /// Whether a value without a name may come next: only a participant's name is given so.
    fn expects_first(&self) -> bool {
        self.attribute == "participant" && self.first.is_none() && self.named.is_empty()
    }

    fn add(&mut self, arg: Arg, known: &[&str], diagnostics: &mut Diagnostics) {
        let name = plain(&arg.name);
        if !known.contains(&name.as_str()) {
            if self.attribute == "on_confirm"
                && let Some(why) = of_a_try(&name)
            {
                let message = format!("`#[on_confirm]` has no argument `{name}`: {why}, so leave it out");
                return diagnostics.error(&arg.name, message);
            }
            let hint = match nearest(&name, known.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`? It takes {}", listed(known)),
                None if known.is_empty() => "it takes none".to_owned(),
                None => format!("it takes {}", listed(known)),
            };
            diagnostics.error(&arg.name, format!("`#[{}]` has no argument `{name}`: {hint}", self.attribute));
        } else if name != "upcast" && self.named.iter().any(|before| before.name == arg.name) {
            diagnostics.error(&arg.name, format!("`{name}` is given twice: keep one of them"));
        } else {
            self.named.push(arg);
        }
    }

    /// Whether there is an argument of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.named.iter().any(|arg| plain(&arg.name) == name)
    }

    /// The argument of this name, as it stands.
    pub(crate) fn take(&mut self, name: &str) -> Option<Arg> {
        let at = self.named.iter().position(|arg| plain(&arg.name) == name)?;
        Some(self.named.remove(at))
    }

    /// The argument's value, whatever expression it is.
    pub(crate) fn expr(&mut self, name: &str, example: &str, diagnostics: &mut Diagnostics) -> Option<Expr> {
        let arg = self.take(name)?;
        if arg.value.is_none() {
            diagnostics.error(&arg.name, format!("`{name}` needs a value, as in `{example}`"));
        }
        arg.value
    }

    /// Whether a bare word is given.
    pub(crate) fn flag(&mut self, name: &str, diagnostics: &mut Diagnostics) -> bool {
        let Some(arg) = self.take(name) else { return false };
        if arg.value.is_some() || arg.inside.is_some() {
            let value = arg.value.map(ToTokens::into_token_stream).or(arg.inside);
            diagnostics.error(value, format!("`{name}` takes no value: write it alone, or leave it out"));
        }
        true
    }

    /// The name of a method of the block.
    pub(crate) fn method(&mut self, name: &str, diagnostics: &mut Diagnostics) -> Option<Ident> {
        let value = self.expr(name, &format!("{name} = method"), diagnostics)?;
        if let Expr::Path(path) = &value
            && let Some(ident) = path.path.get_ident()
        {
            return Some(ident.clone());
        }
        let written = match &value {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(text) if is_ident(&text.value()) => Some(text.value()),
                _ => None,
            },
            Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let hint = format!("`{name} = {}`", written.as_deref().unwrap_or("method"));
        diagnostics.error(
            &value,
            format!("`{name}` names a method of this block, alone and without quotes: {hint}"),
        );
        None
    }

    /// A name that is persisted.
    pub(crate) fn name(&mut self, name: &str, diagnostics: &mut Diagnostics) -> Option<String> {
        let value = self.expr(name, &format!("{name} = \"checkout\""), diagnostics)?;
        persisted_name(&value, diagnostics)
    }

    /// A duration as text.
    pub(crate) fn duration(&mut self, name: &str, diagnostics: &mut Diagnostics) -> Option<Duration> {
        let value = self.expr(name, &format!("{name} = \"5s\""), diagnostics)?;
        let duration = match text(&value) {
            Some(text) => parse_duration(&text.value()),
            None => Err(format!("`{}` is not a duration", show(&value))),
        };
        duration
            .map_err(|wrong| {
                let hint = r#"write a number and its unit, as in "250ms", "5s", "1m" or "2h""#;
                diagnostics.error(&value, format!("{wrong}: {hint}, from 1 ms to 24 h"));
            })
            .ok()
    }

    /// The version of a payload.
    pub(crate) fn version(&mut self, diagnostics: &mut Diagnostics) -> Option<u16> {
        let value = self.expr("version", "version = 2", diagnostics)?;
        version(&value, diagnostics)
    }

    /// How often a try is asked at most.
    pub(crate) fn tries(&mut self, diagnostics: &mut Diagnostics) -> Option<u32> {
        let value = self.expr("tries", "tries = 3", diagnostics)?;
        let tries = number(&value).filter(|tries| (1..=MAX_TRIES).contains(tries));
        if tries.is_none() {
            let hint = format!("write a number from 1 to {MAX_TRIES}, as in `tries = 3`");
            diagnostics.error(&value, format!("`{}` is not a number of tries: {hint}", show(&value)));
        }
        tries
    }

    /// Where `tcc_core` is.
    pub(crate) fn tcc(&mut self, diagnostics: &mut Diagnostics) -> Path {
        let value = self.expr("crate", "crate = my_crate::tcc_core", diagnostics);
        let path = value.and_then(|value| match &value {
            Expr::Path(path) if path.qself.is_none() => Some(path.path.clone()),
            other => {
                let path = text(other).and_then(|text| text.parse().ok());
                if path.is_none() {
                    diagnostics.error(other, "`crate` is a path, as in `crate = my_crate::tcc_core`");
                }
                path
            }
        });
        path.unwrap_or_else(|| syn::parse_quote!(::tcc_core))
    }
}

/// Why an action without a try has no such argument.
fn of_a_try(name: &str) -> Option<&'static str> {
    match name {
        "confirm" => Some("the method that is marked is the confirm"),
        "cancel" => Some("it has no try, and nothing to cancel"),
        "tries" => Some("it has no try, and its confirm is asked for until it succeeds"),
        _ => None,
    }
}

fn version(value: &impl ToTokens, diagnostics: &mut Diagnostics) -> Option<u16> {
    let version =
        syn::parse2(value.to_token_stream()).ok().and_then(|value| number(&value)).filter(|n| *n > 0);
    if version.is_none() {
        let hint = "write a number from 1 to 65535, as in `version = 2`";
        diagnostics.error(value, format!("`{}` is not a version: {hint}", show(value)));
    }
    version
}

/// A number without a suffix.
fn number<N: FromStr<Err: Display>>(value: &Expr) -> Option<N> {
    match value {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(number) if number.suffix().is_empty() => number.base10_parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// A name that is persisted, by the rules of `tcc_core::Name`.
pub(crate) fn persisted_name(value: &Expr, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(name) = text(value) else {
        diagnostics.error(
            value,
            format!(
                "`{}` is not a name: write it as text, as in \"inventory\", since it is persisted",
                show(value)
            ),
        );
        return None;
    };
    match check_name(&name.value()) {
        Ok(()) => Some(name.value()),
        Err(wrong) => {
            diagnostics.error(name, wrong);
            None
        }
    }
}

/// The rules of `tcc_core::Name`.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = "a-z, A-Z, 0-9, '_' and '-'";
    if name.is_empty() {
        return Err(format!("a name is empty: give it 1 to {MAX_NAME} characters of {allowed}"));
    }
    if let Some(wrong) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        return Err(format!(
            "the name {name:?} has the character {wrong:?}: it is persisted, and may have {allowed}"
        ));
    }
    if name.len() > MAX_NAME {
        return Err(format!("the name {name:?} has {} characters: it may have {MAX_NAME}", name.len()));
    }
    Ok(())
}

fn text(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Group(group) => text(&group.expr),
        _ => None,
    }
}

fn is_ident(text: &str) -> bool {
    syn::parse_str::<Ident>(text).is_ok()
}

/// `250ms`, `5s`, `1m`, `2h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let not_one = || format!("{text:?} is not a duration");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| not_one())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(not_one()),
    };
    let duration = number.checked_mul(millis).map(Duration::from_millis);
    match duration {
        Some(duration) if duration.is_zero() => Err(format!("{text:?} leaves no time at all")),
        Some(duration) if duration <= MAX_TIMEOUT => Ok(duration),
        _ => Err(format!("{text:?} is too long")),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn parse(tokens: TokenStream) -> (Args, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let known = ["confirm", "timeout", "version", "independent", "crate", "name"];
        let args = Args::parse("action", &known, tokens, &mut diagnostics);
        (args, diagnostics)
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [("250ms", 250), ("5s", 5000), ("1m", 60_000), ("24h", 86_400_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-5s", "1.5s", "5sec", "5S", "99999999999999999999s", "+5s", "٥s"]
        {
            assert!(parse_duration(text).unwrap_err().ends_with("is not a duration"), "{text}");
        }
        assert!(parse_duration("0s").unwrap_err().contains("no time"));
        for text in ["25h", "86400001ms", "18446744073709551615h"] {
            assert!(parse_duration(text).unwrap_err().contains("too long"), "{text}");
        }
    }

    #[test]
    fn names_follow_the_rules_of_the_log() {
        let longest = "x".repeat(64);
        for name in ["inventory", "check-out_2", "Z", &longest] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a.b", "größe", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_argument_is_read_as_what_it_is() {
        let (mut args, mut diagnostics) =
            parse(
                quote!(confirm = ship, timeout = "5s", version = 2, independent, crate = a::b, name = "x",),
            );
        assert_eq!(args.method("confirm", &mut diagnostics).unwrap(), "ship");
        assert_eq!(args.duration("timeout", &mut diagnostics), Some(Duration::from_secs(5)));
        assert_eq!(args.version(&mut diagnostics), Some(2));
        assert!(args.flag("independent", &mut diagnostics));
        assert!(!args.flag("independent", &mut diagnostics));
        assert_eq!(show(args.tcc(&mut diagnostics)), "a::b");
        assert_eq!(show(args.tcc(&mut diagnostics)), "::tcc_core");
        assert_eq!(args.name("name", &mut diagnostics).as_deref(), Some("x"));
        assert_eq!(diagnostics.messages(), Vec::<String>::new());
    }

    #[test]
    fn what_is_unknown_or_given_twice_is_said_and_the_rest_is_read() {
        let (mut args, mut diagnostics) = parse(quote!(confrim = ship, version = 2, version = 3, zebra));
        assert_eq!(args.version(&mut diagnostics), Some(2));
        let known = "It takes `confirm`, `timeout`, `version`, `independent`, `crate` and `name`";
        assert_eq!(
            diagnostics.messages(),
            [
                format!("`#[action]` has no argument `confrim`: did you mean `confirm`? {known}"),
                "`version` is given twice: keep one of them".to_owned(),
                format!("`#[action]` has no argument `zebra`: i{}", &known[1..]),
            ]
        );
    }

    #[test]
    fn only_a_participant_has_an_argument_without_a_name() {
        let mut diagnostics = Diagnostics::default();
        let args = Args::parse("participant", &["crate"], quote!("inventory", crate = a), &mut diagnostics);
        assert_eq!(persisted_name(&args.first.unwrap(), &mut diagnostics).as_deref(), Some("inventory"));
        let args = Args::parse("participant", &["crate"], quote!(inventory), &mut diagnostics);
        assert_eq!(persisted_name(&args.first.unwrap(), &mut diagnostics), None);
        assert!(parse(quote!("reserve")).1.messages()[0].starts_with("`\"reserve\"` has no name"));
    }

    #[test]
    fn values_of_the_wrong_kind_are_said_with_what_to_write() {
        let (mut args, mut diagnostics) =
            parse(quote!(confirm = "ship", timeout = 5, version = 0, independent = true, crate = 5, name));
        assert!(args.method("confirm", &mut diagnostics).is_none());
        assert!(args.duration("timeout", &mut diagnostics).is_none());
        assert!(args.version(&mut diagnostics).is_none());
        assert!(args.flag("independent", &mut diagnostics));
        args.tcc(&mut diagnostics);
        assert!(args.name("name", &mut diagnostics).is_none());
        let messages = diagnostics.messages();
        assert_eq!(messages.len(), 6, "{messages:#?}");
        assert!(messages[0].ends_with("`confirm = ship`"), "{}", messages[0]);
        assert!(messages[1].starts_with("`5` is not a duration"), "{}", messages[1]);
    }
}
