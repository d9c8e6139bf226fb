# Programs that test a card without Criterion, whose checks come from tests/cuda/criterion; each is
# built for the card (preset cuda) and for the emulation of it (emulate.cmake).
set(PAWL_CARD_TESTS device program train bandwidth)
set(card ${CMAKE_SOURCE_DIR}/tests/cuda)
set(PAWL_CARD_device ${card}/device_test.c ${CMAKE_SOURCE_DIR}/tests/kernels/compare.c
    ${CMAKE_SOURCE_DIR}/tests/kernels/build.c ${CMAKE_SOURCE_DIR}/tests/kernels/cases.c)
set(PAWL_CARD_program ${card}/program_test.c ${card}/report.c ${CMAKE_SOURCE_DIR}/tests/model/bench_model.c
    ${CMAKE_SOURCE_DIR}/tests/kernels/shared_far.c ${CMAKE_SOURCE_DIR}/tests/model/shared_far_ranks.c
    ${CMAKE_SOURCE_DIR}/tests/comm/shared_threads.c)
set(PAWL_CARD_train ${card}/train_test.c ${card}/report.c ${CMAKE_SOURCE_DIR}/tests/trainer/small.c)
# Two processes; needs cards, or `cpu` as its argument.
set(PAWL_CARD_nccl ${card}/nccl_test.c ${CMAKE_SOURCE_DIR}/tests/trainer/small.c)

# no test but a bench: run with few elements here
set(PAWL_CARD_bandwidth ${CMAKE_SOURCE_DIR}/bench/cuda/bandwidth.c
    ${CMAKE_SOURCE_DIR}/tests/kernels/build.c ${CMAKE_SOURCE_DIR}/tests/kernels/cases.c)
set(PAWL_CARD_ARGUMENTS_bandwidth --elements 9000)

# Further sources and libraries decide which device card_open gives.
function(pawl_card_test target name)
  add_executable(${target} ${PAWL_CARD_${name}} ${ARGN})
  target_include_directories(${target} BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/tests/cuda
                             ${CMAKE_SOURCE_DIR}/tests/trainer)
  target_link_libraries(${target} PRIVATE room_trainer dep_math)
endfunction()
