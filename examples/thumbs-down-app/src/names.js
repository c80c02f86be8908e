/**
 * The names that the base policy learns from: invented towns in six manners, a beginning and an ending each, written
 * for this app. A likeness to a real place is an accident. Lower case: the page shows the first letter large.
 */

/** @type {Record<string, { beginnings: string; endings: string }>} */
const MANNERS = {
  meadow: {
    beginnings: `ash bram brindle cold copper dun elms fallow fen fox gorse grey harts hazel high holly ivy lark
      long mallow marsh mill nettle oak owl pear raven red rush salt sand stone thorn wattle wist whit willow winter
      wren`,
    endings: "bridge by combe cot field ford ham hill hurst ley mead mere moor ton well wick worth",
  },
  fjord: {
    beginnings: `arn berg bjor dal eid elg fisk fjell gran grim haf hak hav is jarl kald kong krak lang lund myr nor
      orm ost rav rod skar skog sno sol stein storm svart tind tor troll ulv varn vest vinter ylv`,
    endings: "vik sund nes holm voll dal heim strand fjord vang",
  },
  coast: {
    beginnings: `alv amar bel ben brav cal cam car cast dom elv fior gir lam lev luc mar mir mont niv ole ors pal
      per pin riv roc ros salv sant ser sol tal ver vig vill zaf`,
    endings: "ora ella ona ana era enza etta ino ardo ano ara alta essa",
  },
  valley: {
    beginnings: `aber bryn caer carn cwm din dol fyn garth glan gwen hen llan llyn maes mer moel nant pen porth rhos
      rhyd tal tre wyn`,
    endings: "wen wyn gwyn mawr fach coed dor goch llin arth wel ran",
  },
  steppe: {
    beginnings: `bel bor bystr chern dobr drav gor grab javor kal kam karl kostr krasn lip lug mal mostr nov olgr or
      pern rad rybn slav sok star topol treb vel vish volk yasn zag zel zhur`,
    endings: "ovo ava ovets inka enka evo orin ograd itsa nik ovna",
  },
  island: {
    beginnings: `aki ama asa fumi hana haru hika hoshi ike iso kano kaze kiyo kuma mido mina miya mori nagi natsu
      oka ryu saku shima shira suzu taka tano tsuki umi waka yama yuki`,
    endings: "no moto mori zawa hara saki mura gawa shiro oka zaki kami",
  },
};

/** Most letters of a name. */
export const LONGEST = 11;

const words = (/** @type {string} */ text) => text.trim().split(/\s+/);

/** Names by manner: every beginning with every ending of its manner that fits. */
export const NAMES = Object.values(MANNERS).map(({ beginnings, endings }) =>
  words(beginnings).flatMap((a) =>
    words(endings).flatMap((b) => (a.length + b.length <= LONGEST ? [a + b] : [])),
  ),
);

/** Every three letters in a row, with `^` before and `$` after a name. */
const threes = (/** @type {string} */ name) =>
  Array.from({ length: name.length }, (_, i) => `^${name}$`.slice(i, i + 3));

const KNOWN = new Set(NAMES.flat().flatMap(threes));

/**
 * Whether a text reads like a name: every three letters in a row occur in some name of the list.
 * @param {string} name
 */
export const readsLikeAName = (name) => name.length > 1 && threes(name).every((three) => KNOWN.has(three));
