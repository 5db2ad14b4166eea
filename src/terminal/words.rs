//! What the client says to people, in their language.

use std::fmt::Display;

use super::settings::Environment;

/// A language that the client speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Language {
    #[default]
    English,
    Russian,
}

impl Language {
    /// A language by its name (`ru`), or by a locale's (`ru_RU.UTF-8`).
    ///
    /// # Errors
    /// What would be right.
    pub(super) fn named(name: &str) -> Result<Self, &'static str> {
        match name.split(['_', '-', '.', '@']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" | "c" | "posix" => Ok(Self::English),
            "ru" => Ok(Self::Russian),
            _ => Err("a language is en or ru"),
        }
    }

    /// The language of the first of the usual variables that is set.
    pub(super) fn of(environment: &Environment) -> Self {
        let set = |name: &&str| environment.get(*name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(set);
        locale.and_then(|locale| Self::named(locale.to_str()?).ok()).unwrap_or_default()
    }

    /// A text in this language, its places filled in.
    pub(super) fn say(self, word: Word, places: &[&dyn Display]) -> String {
        let mut rest = self.text(word);
        let mut said = String::new();
        while let Some((before, behind)) = rest.split_once('{') {
            said.push_str(before);
            let (place, behind) = behind.split_once('}').unwrap_or((behind, ""));
            if let Some(value) = place.parse::<usize>().ok().and_then(|place| places.get(place)) {
                said.push_str(&value.to_string());
            }
            rest = behind;
        }
        said.push_str(rest);
        said
    }

    /// A text in this language, without places.
    pub(super) fn text(self, word: Word) -> &'static str {
        let [english, russian] = word.texts();
        match self {
            Self::English => english,
            Self::Russian => russian,
        }
    }
}

macro_rules! words {
    ($($word:ident: $english:literal, $russian:literal;)*) => {
        /// Something that the client says.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Word {
            $($word,)*
        }

        impl Word {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$word,)*];

            fn texts(self) -> [&'static str; 2] {
                match self {
                    $(Self::$word => [$english, $russian],)*
                }
            }
        }
    };
}

words! {
    // What is asked for at first.
    AskUsername: "Enter your username", "Введите ваше имя";
    AskPeer: "Enter destination username", "Введите имя собеседника";
    AskName: "Username:", "Имя:";
    AskSecret: "secret of {0}: ", "секрет для {0}: ";
    // How the connection is.
    Connecting: "connecting; :help shows the commands", "соединяюсь; команды покажет :help";
    Connected: "connected", "соединение есть";
    ConnectedAs: "connected as {0}", "соединение есть, вы {0}";
    Again: "connected again", "соединение снова есть";
    AgainWhole: "connected again; nothing was missed", "соединение снова есть; ничего не пропущено";
    AgainMissed: "connected again; something may have been missed", "соединение снова есть; что-то могло быть пропущено";
    Lost: "no connection ({0}); trying again in {1} s", "нет соединения ({0}); следующая попытка через {1} с";
    Unable: "Unable to connect ({0}); trying again in {1} s", "Не удаётся соединиться ({0}); следующая попытка через {1} с";
    ClosedByServer: "Connection closed by the server ({0}); trying again in {1} s", "Сервер закрыл соединение ({0}); следующая попытка через {1} с";
    Account: "signed in as {0}", "вход выполнен: {0}";
    NotLetIn: "not let in: {0}", "не пускают: {0}";
    EndedLost: "the connection is lost: {0}", "соединение потеряно: {0}";
    Unsettled: "nobody knows what became of {0} of your messages", "неизвестно, что стало с вашими сообщениями: {0}";
    UnsettledKept: "{0} of your messages wait for the next start", "ваши сообщения ждут следующего запуска: {0}";
    Waiting: "waiting for {0} of your messages; Ctrl-C leaves at once", "жду отправки ваших сообщений ({0}); Ctrl-C завершает сразу";
    // What is said and done.
    Direct: "direct", "лично";
    Joined: "{0} joined", "{0} теперь здесь";
    Left: "{0} left", "{0} больше не здесь";
    Renamed: "{0} is called {1} now", "{0} теперь зовётся {1}";
    Users: "{0} here: {1}", "здесь {0}: {1}";
    UserCount: "{0} here", "здесь {0}";
    UsersIn: "{0} in {2}: {1}", "в {2} {0}: {1}";
    Rooms: "rooms: {0}", "комнаты: {0}";
    NoRooms: "there are no rooms", "комнат нет";
    Gap: "up to {0} messages of {1} are no longer kept", "сообщения комнаты {1} больше не хранятся, до {0} штук";
    Found: "{0} found in {1} with {2}:", "найдено {0} в {1} со словом {2}:";
    NothingFound: "nothing found in {0} with {1}", "в {0} ничего не найдено со словом {1}";
    HistoryEnd: "that is all that {0} keeps", "это всё, что хранит {0}";
    ToNobody: "your texts go nowhere now; :enter ROOM or :user NAME", "ваши тексты никуда не идут; :enter КОМНАТА или :user ИМЯ";
    GoTo: "your texts go to {0}", "ваши тексты идут в {0}";
    // What becomes of own texts.
    Restored: "kept from last time: {0}", "осталось с прошлого раза: {0}";
    Queued: "queued: {0}", "в очереди: {0}";
    Sent: "sent: {0}", "отправлено: {0}";
    Accepted: "accepted: {0}", "принято: {0}";
    Delivered: "delivered to {1} of {2}: {0}", "доставлено {1} из {2}: {0}";
    Failed: "failed: {0}: {1}", "не вышло: {0}: {1}";
    // Commands.
    HelpHelp: "show this", "показать это";
    HelpExit: "sign off and leave (so do Ctrl-D and Ctrl-C)", "попрощаться и уйти (так же Ctrl-D и Ctrl-C)";
    HelpStatus: "show the connection, and what became of your last texts", "показать соединение и что стало с вашими текстами";
    HelpUpdate: "fetch and show the users", "узнать и показать, кто здесь";
    HelpUser: "what you type from now on goes to NAME", "что вы пишете дальше, идёт к ИМЯ";
    HelpMessage: "send TEXT to NAME alone; a name with spaces stands in \"quotes\"", "послать ТЕКСТ лично; имя с пробелами берётся в \"кавычки\"";
    HelpRooms: "show the rooms", "показать комнаты";
    HelpEnter: "enter a room", "войти в комнату";
    HelpCreate: "make a room and enter it", "создать комнату и войти";
    HelpLeave: "leave a room: this one, if none is named", "выйти из комнаты: из этой, если имени нет";
    HelpNick: "take another nickname", "взять другое имя";
    HelpHistory: "show what was said before: 20 messages, or COUNT", "показать сказанное раньше: 20 сообщений или ЧИСЛО";
    HelpSearch: "show messages that hold TEXT", "показать сообщения, где есть ТЕКСТ";
    HelpDo: "a command of the server's own", "собственная команда сервера";
    HelpText: "send TEXT to where texts go; ::TEXT sends a text that begins with a colon", "послать ТЕКСТ; ::ТЕКСТ пошлёт текст с двоеточием в начале";
    Name: "NAME", "ИМЯ";
    Text: "TEXT", "ТЕКСТ";
    Room: "ROOM", "КОМНАТА";
    Count: "COUNT", "ЧИСЛО";
    Command: "COMMAND", "КОМАНДА";
    Unknown: "unknown command {0}; :help shows the commands, and ::{1} sends a text that begins with a colon", "нет команды {0}; команды покажет :help, а ::{1} пошлёт текст с двоеточием в начале";
    NeedsName: "{0} needs a name, such as {0} bob", "команде {0} нужно имя: {0} bob";
    NeedsRoom: "{0} needs a room, such as {0} tea", "команде {0} нужна комната: {0} tea";
    NeedsText: "{0} needs a text behind it", "команде {0} нужен текст";
    NeedsNameAndText: "{0} needs a name and a text, such as {0} bob hello", "команде {0} нужны имя и текст: {0} bob привет";
    Surplus: "{0} takes nothing behind it", "за командой {0} ничего не следует";
    NoCount: "a count is 1 to 1000", "число бывает от 1 до 1000";
    // The status.
    StatusOffline: "no connection; the next try is in {0} s", "нет соединения; следующая попытка через {0} с";
    StatusConnecting: "no connection yet", "соединения ещё нет";
    StatusWaiting: "texts that wait: {0}", "текстов в очереди: {0}";
    // Minechat.
    ReadsAt: "reading at {0}", "читаю: {0}";
    WritesAt: "sending at {0}", "отправляю: {0}";
    AskNickname: "your nickname:", "ваше имя:";
    AskNext: "Enter goes to the chat, another nickname registers one more:", "Enter ведёт в чат, другое имя создаст ещё одну учётную запись:";
    Registered: "registered as {0}; the account is kept in {1}", "вы зарегистрированы, ваше имя {0}; учётная запись хранится в {1}";
    NotKeptAccount: "the account of {0} could not be kept: {1}", "не удалось сохранить учётную запись {0}: {1}";
    NoHistory: "the history cannot be kept: {0}", "история не сохраняется: {0}";
    NeedsNickname: "an account is needed: --token HASH, --credential-path FILE or --username NICKNAME", "нужна учётная запись: --token HASH, --credential-path FILE или --username NICKNAME";
    BadNickname: "a nickname needs at least one letter or digit", "в имени нужна хотя бы одна буква или цифра";
    NoAnswer: "no answer within {0} s{1}", "за {0} с ответа нет{1}";
    // Among peers.
    YouAre: "you are {0} at {1}; :help shows the commands", "вы {0}, адрес {1}; команды покажет :help";
    NoUsers: "no users", "никого нет";
    OneUser: "1 user:", "1 пользователь:";
    ManyUsers: "{0} users:", "пользователей: {0}";
    You: "you", "вы";
    Chosen: "chosen", "выбран";
    NobodyChosen: "nobody is chosen; :user NAME chooses whom you write to", "никто не выбран; :user ИМЯ выбирает, кому вы пишете";
    Gone: "{0} is gone; nobody is chosen now", "{0} больше не здесь; теперь никто не выбран";
    CannotLookUp: "cannot look up {0}: {1}", "не узнать, где {0}: {1}";
    NoUser: "there is no user {0}; :update shows who is there", "нет пользователя {0}; :update покажет, кто есть";
    Unreachable: "{0} is at {1}, which nothing here can reach", "{0} по адресу {1}, туда отсюда не добраться";
    BadName: "no user can have that name: {0}", "такого имени быть не может: {0}";
    RegistryLost: "{0}; trying again{1}", "{0}; пробую ещё{1}";
    Registries: "--registry URL names another: 'registry' is at http://127.0.0.1:8088, and a talk-server has one at its port, 7000", "--registry URL называет другой: 'registry' живёт на http://127.0.0.1:8088, а у talk-server он на его порту, 7000";
    RegistryFound: "the registry answers again", "реестр снова отвечает";
    NameLost: "the registry knows somebody else as {0} now: others no longer find you", "в реестре под именем {0} теперь кто-то другой: вас больше не найти";
    ConfirmsNothing: "{0} confirms nothing: a text may be lost without a word about it", "{0} ничего не подтверждает: текст может пропасть без вести";
    NotReached: "{0} did not reach {1}: {2}", "{0} не дошло, кому: {1}; {2}";
    LastUnknown: "nobody knows whether the last {0} of your messages arrived", "неизвестно, дошли ли последние ваши сообщения: {0}";
    NoSignOff: "could not sign off ({0}); the registry forgets you within a minute", "попрощаться не вышло ({0}); реестр забудет вас за минуту";
    // What cannot be done.
    BadJson: "no command: {0}", "это не команда: {0}";
    Unsupported: "there is nothing of the kind here", "здесь такого нет";
    Full: "{0} texts wait to be sent already", "в очереди уже {0} текстов";
    Nowhere: "there is nowhere to say it: :enter ROOM, or :user NAME", "сказать это негде: :enter КОМНАТА или :user ИМЯ";
    Length: "a text has 1 to {0} bytes", "в тексте от 1 до {0} байт";
    NotKept: "the text could not be kept: {0}", "текст не удалось сохранить: {0}";
    HasEnded: "the conversation has ended", "разговор окончен";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_with_the_same_places() {
        let places = |text: &str| {
            let mut places: Vec<_> =
                text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0.to_owned()).collect();
            places.sort_unstable();
            places
        };
        for word in Word::ALL {
            let [english, russian] = word.texts();
            assert_eq!(places(english), places(russian), "{word:?}");
            let cyrillic = |c: char| ('\u{400}'..'\u{500}').contains(&c);
            assert!(!english.is_empty() && !english.contains(cyrillic), "{word:?}");
            assert!(russian.contains(cyrillic), "{word:?}");
            assert!(!places(english).iter().any(|place| place.parse::<usize>().is_err()), "{word:?}");
        }
    }

    #[test]
    fn places_are_filled_in_once() {
        let said = Language::English.say(Word::Lost, &[&"{1} {0}", &2]);
        assert_eq!(said, "no connection ({1} {0}); trying again in 2 s");
    }

    #[test]
    fn the_language_is_the_first_that_is_set() {
        let of = |variables: &[(&str, &str)]| {
            Language::of(&super::super::settings::environment(variables.iter().map(|(n, v)| (n.into(), v.into()))))
        };
        assert_eq!(of(&[]), Language::English);
        assert_eq!(of(&[("LANG", "ru_RU.UTF-8")]), Language::Russian);
        assert_eq!(of(&[("LANG", "ru_RU.UTF-8"), ("LC_ALL", "C")]), Language::English);
        assert_eq!(of(&[("LANG", "en"), ("LC_MESSAGES", "ru"), ("LC_ALL", "")]), Language::Russian);
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Language::English);
        assert_eq!((Language::named("RU"), Language::named("ru-RU")), (Ok(Language::Russian), Ok(Language::Russian)));
        assert!(Language::named("klingon").is_err());
    }
}
