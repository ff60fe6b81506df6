/* Every size finds the smallest class that holds it, and no class wastes more than an eighth (above 128 bytes). */
#include "tests/plain.h"

#include "core/size_class.h"

PLAIN_TEST(every_size_fits_and_the_class_below_does_not)
{
    for (size_t size = 1; size <= BMM__SLOT_BYTES_MAX; size++) {
        unsigned index = bmm__size_class(size);
        PLAIN_CHECK(index < BMM__CLASS_COUNT);
        PLAIN_CHECK(bmm__class_bytes(index) >= size);
        PLAIN_CHECK(index == 0 || bmm__class_bytes(index - 1) < size);
        PLAIN_CHECK(size <= 128 || (bmm__class_bytes(index) - size) * 8 <= bmm__class_bytes(index));
        PLAIN_CHECK(bmm__class_bytes(index) % 16 == 0);
    }
}
