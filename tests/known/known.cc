/* The same in C++: names in classes, templates and lambdas. What test_known expects of the report:
 *
 * leak: kind=malloc bytes=800 blocks=1 stack=hold@hold,cargo_load@cargo_load,Ship::load@load,main@leak1
 * leak: kind=new bytes=72 blocks=3 stack=spill<Crate>@spill,dock@dock
 * leak: kind=malloc bytes=6 blocks=1 stack=Ship::name@name,main@leak3
 * error: kind=double-free size=24 allocated=Ship::crate@crate,(anonymous namespace)::Storm::sink@sink_crate,(anonymous namespace)::sail@sail,main@error1 freed=(anonymous namespace)::Storm::sink@sink_first,(anonymous namespace)::sail@sail,main@error1 detected=(anonymous namespace)::Storm::sink@sink_second,(anonymous namespace)::sail@sail,main@error1
 * error: kind=heap-overflow size=40 allocated=row<int>@row,main@error2 detected=main@error2_free
 * error: kind=heap-underflow size=48 allocated=row<long>@row,main@error3 detected=main@error3_free
 * error: kind=write-after-free size=24 allocated=Ship::crate@crate,main@error4 freed=main@error4_free
 * error: kind=mismatched-free size=30 allocated=row<char>@row,main@error5 detected=main@error5_free
 */
#include "cargo.h"

#include <cstdlib>
#include <cstring>
#include <thread>

static void *volatile keep; // what is stored here may be used elsewhere: no call can be left out

struct Crate {
    long weight, height, width;
};

class Ship
{
  public:
    size_t load(size_t count)
    {
        tons += cargo_load(count); /* @load */
        return tons;
    }
    void name(const char *text)
    {
        keep = strdup(text); /* @name */
        tons++;
    }
    Crate *crate()
    {
        auto *made = new Crate(); /* @crate */
        made->weight = 3;
        keep = made;
        return made;
    }

  private:
    size_t tons = 0;
};

template <class T> static void spill(int count)
{
    for (int i = 0; i < count; i++)
        keep = new T(); /* @spill */
}

static void dock(int count)
{
    spill<Crate>(count); /* @dock */
    keep = nullptr;
}

template <class T> T *row(size_t count)
{
    T *made = new T[count]; /* @row */
    keep = made;
    made[0] = 1;
    return made;
}

namespace
{
struct Storm {
    void sink(Ship &ship)
    {
        Crate *crate = ship.crate(); /* @sink_crate */
        delete crate;                /* @sink_first */
        delete (Crate *)keep;        /* @sink_second */
        keep = nullptr;
    }
};

void sail(Ship &ship)
{
    Storm().sink(ship); /* @sail */
    keep = nullptr;
}
} // namespace

int main(int count, char **)
{
    Ship ship;
    ship.load(99 + count); /* @leak1 */
    std::thread(dock, 2 + count).join();
    ship.name("hello"); /* @leak3 */
    sail(ship);         /* @error1 */

    volatile int *ints = row<int>(9 + count); /* @error2 */
    ints[10] = 7;
    delete[](int *) keep; /* @error2_free */

    volatile char *longs = (volatile char *)row<long>(5 + count); /* @error3 */
    longs[-1] = 7;
    delete[](long *) keep; /* @error3_free */

    volatile Crate *crate = ship.crate(); /* @error4 */
    delete (Crate *)keep;                 /* @error4_free */
    crate->height = 5;

    row<char>(29 + count); /* @error5 */
    delete (char *)keep;   /* @error5_free */
    return 0;
}
