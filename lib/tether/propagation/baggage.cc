#include "tether/propagation/baggage.h"

#include <algorithm>
#include <utility>

#include "tether/propagation/internal/chars.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/percent.h"

namespace tether {
namespace {

using internal::kBaggageOctet;
using internal::kBaggagePlain;
using internal::kToken;
using internal::SpanOf;

constexpr Key<Baggage> kBaggage{"baggage"};

// More headers than this may be many that are empty.
constexpr int kMaxHeaders = 64;

// Offsets are of 32 bits.
constexpr size_t kMaxBytes = size_t{1} << 30;

bool IsToken(std::string_view text) {
  return !text.empty() && SpanOf(kToken, text) == text.size();
}

void SkipBlanks(std::string_view& text) {
  while (!text.empty() && internal::IsBlank(text[0])) text.remove_prefix(1);
}

std::string_view Take(std::string_view& text, size_t n) {
  const std::string_view taken = text.substr(0, n);
  text.remove_prefix(n);
  return taken;
}

// A guess.
size_t EntriesIn(std::string_view header) { return 1 + header.size() / 16; }

struct Item {
  std::string_view key;
  std::string_view value;  // encoded; data() is null where there is no '='
};

// Takes an entry without its properties, or a property, from the front of
// `text`: key OWS [ "=" OWS value ] OWS. False unless that ends `text`, or a
// ';' follows.
bool TakeItem(std::string_view& text, Item& item) {
  SkipBlanks(text);
  item.key = Take(text, SpanOf(kToken, text));
  item.value = {};
  if (item.key.empty()) return false;
  SkipBlanks(text);
  if (!text.empty() && text[0] == '=') {
    text.remove_prefix(1);
    SkipBlanks(text);
    item.value = Take(text, SpanOf(kBaggageOctet, text));
    if (!internal::IsPercentEncoded(item.value)) return false;
    SkipBlanks(text);
  }
  return text.empty() || text[0] == ';';
}

void AppendItem(const Item& item, std::string& out) {
  out += item.key;
  if (item.value.data() == nullptr) return;
  out += '=';
  out += item.value;
}

std::string Decoded(std::string_view value) {
  std::string text;
  text.reserve(value.size());
  internal::AppendPercentDecoded(value, text);
  return text;
}

// Calls visit(item) for each of `properties`, which has a ';' before each.
// False if one is malformed.
template <typename Visit>
bool ForEachProperty(std::string_view properties, Visit visit) {
  while (!properties.empty()) {
    properties.remove_prefix(1);
    Item property;
    if (!TakeItem(properties, property)) return false;
    visit(property);
  }
  return true;
}

}  // namespace

struct Baggage::Rep {
  // A slice of `header` each, and of `decoded` where the value is encoded.
  struct Slot {
    uint32_t key_at;
    uint32_t key_size;
    uint32_t value_at;
    uint32_t value_size;
    uint32_t end;
    uint32_t decoded_at;  // kNotEncoded: `header` has the value itself
    uint32_t decoded_size;
  };
  static constexpr uint32_t kNotEncoded = ~uint32_t{0};

  std::string_view Key(const Slot& slot) const {
    return std::string_view(header).substr(slot.key_at, slot.key_size);
  }
  std::string_view Value(const Slot& slot) const {
    return slot.decoded_at == kNotEncoded
               ? std::string_view(header).substr(slot.value_at, slot.value_size)
               : std::string_view(decoded).substr(slot.decoded_at,
                                                  slot.decoded_size);
  }
  // As sent, with all its properties.
  std::string_view Text(const Slot& slot) const {
    return std::string_view(header).substr(slot.key_at, slot.end - slot.key_at);
  }

  std::string header;
  std::string decoded;
  std::vector<Slot> slots;
};

// Makes a Baggage, entry by entry.
class Baggage::Writer {
 public:
  explicit Writer(BaggageLimits limits = {SIZE_MAX, SIZE_MAX})
      : max_entries_(limits.max_entries),
        max_bytes_(std::min(limits.max_bytes, kMaxBytes)) {}

  void Reserve(size_t bytes, size_t entries) {
    rep_->header.reserve(std::min(bytes, max_bytes_));
    rep_->slots.reserve(std::min(entries, max_entries_));
  }

  // Appends the good entries of `header`; how many were not.
  int64_t AppendHeader(std::string_view header) {
    int64_t dropped = 0;
    for (;;) {
      // Most are as we write them ourselves.
      const size_t plain = AppendPlain(header);
      size_t end = plain;
      if (plain == 0) {
        end = std::min(header.find(','), header.size());
        const std::string_view text =
            internal::WithoutBlanks(header.substr(0, end));
        // RFC 7230, 7: empty elements of a list don't count.
        if (!text.empty() && !AppendText(text)) ++dropped;
      }
      if (end == header.size()) break;
      header.remove_prefix(end + 1);
    }
    Flush();
    return dropped;
  }

  // Appends an entry as it is sent, without blanks around it. False if it is
  // malformed or too much.
  bool AppendText(std::string_view text) {
    Item item;
    std::string_view properties = text;
    if (!TakeItem(properties, item) || item.value.data() == nullptr) {
      return false;
    }
    size_t size = item.key.size() + 1 + item.value.size();
    if (!ForEachProperty(properties, [&size](const Item& property) {
          size += 1 + property.key.size();
          if (property.value.data() != nullptr) {
            size += 1 + property.value.size();
          }
        })) {
      return false;
    }
    if (!Fits(size)) return false;
    Flush();
    AddSlot(item, size, item.value.find('%') != std::string_view::npos);
    std::string& header = rep_->header;
    if (!header.empty()) header += ',';
    if (size == text.size()) {
      header += text;
    } else {  // it has blanks
      AppendItem(item, header);
      ForEachProperty(properties, [&header](const Item& property) {
        header += ';';
        AppendItem(property, header);
      });
    }
    return true;
  }

  Baggage Finish() && {
    if (rep_->slots.empty()) return Baggage();
    return Baggage(std::move(rep_));
  }

 private:
  // Appends the first entry of `header` if it is good, and has neither blanks
  // nor properties. Its size, or 0.
  size_t AppendPlain(std::string_view header) {
    Item item;
    item.key = header.substr(0, SpanOf(kToken, header));
    size_t end = item.key.size();
    if (end == 0 || end == header.size() || header[end] != '=') return 0;
    const size_t value_at = ++end;
    bool is_encoded = false;
    for (;;) {
      end += SpanOf(kBaggagePlain, header.substr(end));
      if (end == header.size() || header[end] == ',') break;
      if (!internal::IsPercentEncoded(header.substr(end, 3)) ||
          header[end] != '%') {
        return 0;
      }
      is_encoded = true;
      end += 3;
    }
    if (!Fits(end)) return 0;
    item.value = header.substr(value_at, end - value_at);
    AddSlot(item, end, is_encoded);
    if (run_.empty()) {
      run_ = header.substr(0, end);
    } else if (run_.data() + run_.size() + 1 == header.data()) {
      run_ = std::string_view(run_.data(), run_.size() + 1 + end);
    } else {
      Flush();
      run_ = header.substr(0, end);
    }
    return end;
  }

  void Flush() {
    if (run_.empty()) return;
    if (!rep_->header.empty()) rep_->header += ',';
    rep_->header += run_;
    run_ = {};
  }

  // Where the next entry begins.
  size_t next_at() const {
    return rep_->slots.empty() ? 0 : rep_->slots.back().end + size_t{1};
  }

  bool Fits(size_t size) const {
    return rep_->slots.size() < max_entries_ && size <= max_bytes_ &&
           next_at() <= max_bytes_ - size;
  }

  // Of an entry that will take `size` bytes, behind all that are there.
  void AddSlot(const Item& item, size_t size, bool is_encoded) {
    const size_t at = next_at();
    Rep::Slot& slot = rep_->slots.emplace_back();
    slot.key_at = static_cast<uint32_t>(at);
    slot.key_size = static_cast<uint32_t>(item.key.size());
    slot.value_at = slot.key_at + slot.key_size + 1;
    slot.value_size = static_cast<uint32_t>(item.value.size());
    slot.end = static_cast<uint32_t>(at + size);
    slot.decoded_at = Rep::kNotEncoded;
    slot.decoded_size = 0;
    if (is_encoded) {
      std::string& decoded = rep_->decoded;
      slot.decoded_at = static_cast<uint32_t>(decoded.size());
      internal::AppendPercentDecoded(item.value, decoded);
      slot.decoded_size =
          static_cast<uint32_t>(decoded.size() - slot.decoded_at);
    }
  }

  const size_t max_entries_;
  const size_t max_bytes_;
  std::shared_ptr<Rep> rep_ = std::make_shared<Rep>();
  // Plain entries of the header being read, one right after the other, that are
  // not yet in `rep_->header`: they are copied at once.
  std::string_view run_;
};

Baggage Baggage::Parse(std::string_view header, BaggageLimits limits,
                       int64_t* dropped) {
  Writer writer(limits);
  writer.Reserve(header.size(), EntriesIn(header));
  const int64_t bad = writer.AppendHeader(header);
  if (dropped != nullptr) *dropped += bad;
  return std::move(writer).Finish();
}

size_t Baggage::size() const { return empty() ? 0 : rep_->slots.size(); }

Baggage::Entry Baggage::operator[](size_t i) const {
  const Rep::Slot& slot = rep_->slots[i];
  Entry entry;
  entry.key_ = rep_->Key(slot);
  entry.value_ = rep_->Value(slot);
  entry.properties_ =
      rep_->Text(slot).substr(slot.key_size + 1 + slot.value_size);
  return entry;
}

std::vector<BaggageProperty> Baggage::Entry::properties() const {
  std::vector<BaggageProperty> properties;
  ForEachProperty(properties_, [&properties](const Item& item) {
    BaggageProperty& property = properties.emplace_back();
    property.key = std::string(item.key);
    if (item.value.data() != nullptr) property.value = Decoded(item.value);
  });
  return properties;
}

std::optional<std::string_view> Baggage::Get(std::string_view key) const {
  if (empty()) return std::nullopt;
  const std::vector<Rep::Slot>& slots = rep_->slots;
  for (auto slot = slots.rbegin(); slot != slots.rend(); ++slot) {
    if (rep_->Key(*slot) == key) return rep_->Value(*slot);
  }
  return std::nullopt;
}

Baggage Baggage::With(std::string_view key, std::string_view value,
                      const std::vector<BaggageProperty>& properties) const {
  bool good = IsToken(key) && internal::IsUtf8(value);
  std::string text;
  text.append(key).append(1, '=');
  internal::AppendPercentEncoded(value, text);
  for (const BaggageProperty& property : properties) {
    good = good && IsToken(property.key);
    text.append(1, ';').append(property.key);
    if (!property.value.has_value()) continue;
    good = good && internal::IsUtf8(*property.value);
    text += '=';
    internal::AppendPercentEncoded(*property.value, text);
  }
  Writer writer;
  writer.Reserve(header().size() + 1 + text.size(), size() + 1);
  if (!empty()) {
    for (const Rep::Slot& slot : rep_->slots) {
      if (rep_->Key(slot) != key) writer.AppendText(rep_->Text(slot));
    }
  }
  if (good) writer.AppendText(text);
  return std::move(writer).Finish();
}

Baggage Baggage::Without(std::string_view key) const {
  if (!Get(key).has_value()) return *this;
  Writer writer;
  writer.Reserve(header().size(), size());
  for (const Rep::Slot& slot : rep_->slots) {
    if (rep_->Key(slot) != key) writer.AppendText(rep_->Text(slot));
  }
  return std::move(writer).Finish();
}

Baggage Baggage::Within(BaggageLimits limits) const {
  if (size() <= limits.max_entries && header().size() <= limits.max_bytes) {
    return *this;
  }
  Writer writer(limits);
  for (const Rep::Slot& slot : rep_->slots) {
    writer.AppendText(rep_->Text(slot));
  }
  return std::move(writer).Finish();
}

std::string_view Baggage::header() const {
  return empty() ? std::string_view() : std::string_view(rep_->header);
}

const Baggage& BaggageOf(const Context& ctx) {
  static const Baggage& none = *new Baggage;
  const Baggage* baggage = ctx.Value(kBaggage);
  return baggage == nullptr ? none : *baggage;
}

Context WithBaggage(const Context& parent, Baggage baggage) {
  return WithValue(parent, kBaggage, std::move(baggage));
}

BaggagePropagator::BaggagePropagator(BaggageLimits limits) : limits_(limits) {}

Context BaggagePropagator::Extract(const Carrier& carrier,
                                   const Context& ctx) const {
  std::optional<std::string_view> header = carrier.Get(kBaggageHeader);
  if (!header.has_value()) return ctx;
  Baggage::Writer writer(limits_);
  writer.Reserve(header->size(), EntriesIn(*header));
  int64_t dropped = 0;
  int headers = 0;
  do {
    if (headers == kMaxHeaders) {
      ++dropped;
      break;
    }
    dropped += writer.AppendHeader(*header);
    header = carrier.Get(kBaggageHeader, ++headers);
  } while (header.has_value());
  dropped_.Add(dropped);
  Baggage baggage = std::move(writer).Finish();
  if (baggage.empty()) return ctx;
  return WithBaggage(ctx, std::move(baggage));
}

void BaggagePropagator::Inject(const Context& ctx, Carrier& carrier) const {
  const Baggage& all = BaggageOf(ctx);
  if (all.empty()) return;
  if (all.size() <= limits_.max_entries &&
      all.header().size() <= limits_.max_bytes) {
    return carrier.Set(kBaggageHeader, all.header());
  }
  const Baggage sent = all.Within(limits_);
  dropped_.Add(static_cast<int64_t>(all.size() - sent.size()));
  if (!sent.empty()) carrier.Set(kBaggageHeader, sent.header());
}

std::vector<std::string_view> BaggagePropagator::Fields() const {
  return {kBaggageHeader};
}

size_t BaggagePropagator::MaxInjectBytes(const Context& ctx) const {
  const Baggage& baggage = BaggageOf(ctx);
  if (baggage.empty()) return 0;
  return internal::InjectedBytes(kBaggageHeader, baggage.header().size());
}

int64_t BaggagePropagator::Dropped() const { return dropped_.count(); }

}  // namespace tether
