// A program of objects: a dictionary of strings to vectors, with new and delete of a known size behind every node, as
// the standard library's containers ask for them.
//
// threads: each with a dictionary of its own. words: put in by each thread. distinct: of them.
#include "../bench.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

enum { THREADS, WORDS, DISTINCT };
static struct bench_parameter parameters[] = {
    { "threads", 1, 0 },
    { "words", 1500000, 1 },
    { "distinct", 20000, 0 },
    { NULL, 0, 0 },
};

namespace
{

struct place {
    uint64_t line;
    std::unique_ptr<std::string> quotation;
};

std::string word_of(uint32_t number)
{
    std::string word;
    for (unsigned i = 0; i < 4 + number % 24; i++)
        word += static_cast<char>('a' + (number >> i % 12) % 26);
    return word + std::to_string(number);
}

uint64_t index(unsigned long i, void *)
{
    bench_random random = { i };
    std::map<std::string, std::vector<place>> dictionary;
    uint64_t sum = 0;
    for (unsigned long n = 0; n < parameters[WORDS].value; n++) {
        std::string word = word_of(bench_random_below(&random, static_cast<uint32_t>(parameters[DISTINCT].value)));
        std::vector<place> &places = dictionary[word];
        places.push_back({ n, std::make_unique<std::string>(word + " in line " + std::to_string(n)) });
        if (places.size() == 64) {
            for (const place &p : places)
                sum += p.line + p.quotation->size();
            dictionary.erase(word);
        }
    }
    for (const auto &entry : dictionary)
        sum += entry.first.size() + entry.second.size();
    return sum;
}

} // namespace

int main(int argument_count, char **arguments)
{
    bench_begin(argument_count, arguments, parameters);
    return bench_end(bench_run_threads(parameters[THREADS].value, index, NULL));
}
