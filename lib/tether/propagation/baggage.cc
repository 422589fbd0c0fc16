// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/baggage.h"

#include <algorithm>
#include <utility>

#include "tether/propagation/internal/baggage_grammar.h"
#include "tether/propagation/internal/chars.h"
#include "tether/propagation/internal/percent.h"

namespace tether {
namespace {

using internal::BaggageItem;
using internal::kBaggagePlain;
using internal::kToken;
using internal::SpanOf;

// Empty headers don't count toward the other limits.
constexpr int kMaxHeaders = 64;

// Offsets have 32 bits.
constexpr size_t kMaxBytes = size_t{1} << 30;

// An estimate of the number of entries.
size_t EntriesIn(std::string_view header) { return 1 + header.size() / 16; }

std::string Decoded(std::string_view value) {
  std::string text;
  text.reserve(value.size());
  internal::AppendPercentDecoded(value, text);
  return text;
}

}  // namespace

struct Baggage::Rep {
  // Slices of `header`, and of `decoded` if the value is encoded.
  struct Slot {
    uint32_t key_at;
    uint32_t key_size;
    uint32_t value_at;
    uint32_t value_size;
    uint32_t end;
    uint32_t decoded_at;  // kNotEncoded: use `header`
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
  // The entry as sent, with all its properties.
  std::string_view Text(const Slot& slot) const {
    return std::string_view(header).substr(slot.key_at, slot.end - slot.key_at);
  }

  std::string header;
  std::string decoded;
  std::vector<Slot> slots;
};

// Builds a Baggage entry by entry.
class Baggage::Writer {
 public:
  explicit Writer(BaggageLimits limits = {SIZE_MAX, SIZE_MAX})
      : max_entries_(limits.max_entries),
        max_bytes_(std::min(limits.max_bytes, kMaxBytes)) {}

  void Reserve(size_t bytes, size_t entries) {
    rep_->header.reserve(std::min(bytes, max_bytes_));
    rep_->slots.reserve(std::min(entries, max_entries_));
  }

  // Appends the valid entries of `header`. Returns the number of the others.
  int64_t AppendHeader(std::string_view header) {
    int64_t dropped = 0;
    for (;;) {
      // Most entries are plain, as those that we write.
      const size_t plain = AppendPlain(header);
      size_t end = plain;
      if (plain == 0) {
        end = std::min(header.find(','), header.size());
        const std::string_view text =
            internal::WithoutBlanks(header.substr(0, end));
        // RFC 7230, 7: empty list elements are ignored.
        if (!text.empty() && !AppendText(text)) ++dropped;
      }
      if (end == header.size()) break;
      header.remove_prefix(end + 1);
    }
    Flush();
    return dropped;
  }

  // Appends an entry in the form in which it is sent, without blanks around it.
  // Returns false if it is malformed or exceeds the limits.
  bool AppendText(std::string_view text) {
    BaggageItem item;
    std::string_view properties = text;
    if (!internal::TakeBaggageItem(properties, item) ||
        item.value.data() == nullptr) {
      return false;
    }
    size_t size = item.key.size() + 1 + item.value.size();
    if (!internal::ForEachBaggageProperty(
            properties, [&size](const BaggageItem& property) {
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
      internal::AppendBaggageItem(item, header);
      internal::ForEachBaggageProperty(
          properties, [&header](const BaggageItem& property) {
            header += ';';
            internal::AppendBaggageItem(property, header);
          });
    }
    return true;
  }

  Baggage Finish() && {
    if (rep_->slots.empty()) return Baggage();
    return Baggage(std::move(rep_));
  }

 private:
  // Appends the first entry of `header` if it is valid and has neither blanks
  // nor properties. Returns its size, or 0.
  size_t AppendPlain(std::string_view header) {
    BaggageItem item;
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

  // Adds the slot of an entry that takes `size` bytes after all others.
  void AddSlot(const BaggageItem& item, size_t size, bool is_encoded) {
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
  // Adjacent plain entries of the current header that are not yet in
  // `rep_->header`. They are copied together.
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

Baggage Baggage::Read(const Carrier& carrier, BaggageLimits limits,
                      int64_t& dropped) {
  std::optional<std::string_view> header = carrier.Get(kBaggageHeader);
  if (!header.has_value()) return Baggage();
  Writer writer(limits);
  writer.Reserve(header->size(), EntriesIn(*header));
  int headers = 0;
  do {
    if (headers == kMaxHeaders) {
      ++dropped;
      break;
    }
    dropped += writer.AppendHeader(*header);
    header = carrier.Get(kBaggageHeader, ++headers);
  } while (header.has_value());
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
  internal::ForEachBaggageProperty(
      properties_, [&properties](const BaggageItem& item) {
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
  bool good = internal::IsBaggageKey(key) && internal::IsUtf8(value);
  std::string text;
  text.append(key).append(1, '=');
  internal::AppendPercentEncoded(value, text);
  for (const BaggageProperty& property : properties) {
    good = good && internal::IsBaggageKey(property.key);
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

}  // namespace tether
